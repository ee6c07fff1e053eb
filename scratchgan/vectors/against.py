"""compare and sweep: a layer of your own against ours, at the same inputs and parameters, in your layout."""

import functools
import inspect
import itertools
from dataclasses import replace

import numpy

from scratchgan.gradcheck.adapt import subject_of
from scratchgan.gradcheck.explain import listed
from scratchgan.gradcheck.gradients import slots_of
from scratchgan.gradcheck.manners import Runner, watch
from scratchgan.support.errors import UserError
from scratchgan.vectors import references
from scratchgan.vectors.layouts import LAYOUTS, TOLERANCE, axis_kinds, from_layout, to_layout
from scratchgan.vectors.make import make
from scratchgan.vectors.verify import judge

# How others call the arguments of our constructors, and our parameters.
ALIASES = {
    "in_channels": ("in_features", "inputs", "in_ch", "c_in", "n_in", "in_dim", "input_size", "input_dim"),
    "out_channels": ("out_features", "outputs", "out_ch", "c_out", "n_out", "out_dim", "output_size", "output_dim",
                     "filters", "num_filters", "n_filters"),
    "kernel": ("kernel_size", "ksize", "k", "filter_size", "pool_size", "size", "window"),
    "stride": ("strides", "s"), "padding": ("pad", "p"), "dilation": ("dilations", "d"),
    "channels": ("num_features", "features", "normalized_shape", "num_channels", "dim", "c"),
    "groups": ("num_groups", "g"), "eps": ("epsilon",), "slope": ("negative_slope", "alpha", "leak"),
    "classes": ("num_embeddings", "vocabulary", "vocab_size"), "features": ("embedding_dim", "dim"),
    "scale": ("scale_factor", "factor"), "factor": ("upscale_factor", "scale"),
    "W": ("weight", "weights", "kernel", "filters", "w"), "b": ("bias", "biases"),
    "gamma": ("weight", "scale", "g"), "beta": ("bias", "shift", "b"),
}  # fmt: skip
ALIASES["in_features"] = ("in_channels", *ALIASES["in_channels"])
ALIASES["out_features"] = ("out_channels", *ALIASES["out_channels"])
UNCHECKED, COULD_NOT_RUN = "not checked: ", "could not run"  # how notes begin
NO_MATTER = ("momentum", "rng", "bias", "initialize", "affine")  # arguments that y and the gradients do not depend on


def sweep(thing, like, only=(), at=lambda case: None):
    """Run a layer class over the awkward cases of ours named `like`, such as "conv2d"; return a `Sweep`.

    thing: a class, or a function that returns a layer. It gets the arguments of our constructor, by
    our names or others in use. A case whose arguments it does not take is left out, and noted; so is one that
    raises, and where all do, UserError is raised.
    y, dx and every parameter's gradient are compared, channels last or first; the manners of
    `check` are watched. only: the names of the cases to run, if not all; at: is told which case is run.
    """
    trials, notes = [], []
    for case in [case for case in references.cases(like) if not only or case.name in only]:
        arguments, lacking = arguments_of(thing, case.layer)
        if lacking:
            notes.append(f"left out: {case.name} ({', '.join(lacking)} cannot be set)")
        else:
            trials.append((case, lambda arguments=arguments: thing(**arguments)))
    return judged(like, trials, notes, at)


def compare(layer, reference, x=None, **settings):
    """Compare one layer, as it was made, with ours named `reference`; return a `Sweep` of one case.

    x: the input, channels last; drawn if not given. settings: arguments of our constructor that can be read neither
    from the layer's attributes nor from the shapes of its parameters. The parameters get random values.
    """
    first, outcomes, problem = references.cases(reference)[0], [], None
    kind = type(first.layer)
    for weights in LAYOUTS:
        arguments = settings_of(layer, first.layer, weights) | settings
        random = {"rng": numpy.random.default_rng(0)} if "rng" in constructor(kind) else {}
        try:
            ours = kind(**arguments, **random)
            drawn = drawn_for(ours, first.x) if x is None else numpy.asarray(x, first.x.dtype)
            ours.forward(drawn.astype("float32") if drawn.dtype.kind == "f" else drawn)
        except (TypeError, ValueError) as error:
            problem = problem or error
            continue
        try:
            outcomes.append(judged(reference, [(references.Case("case", repr(ours), ours, drawn), lambda: layer)], []))
        except UserError as error:
            problem = error
    if not outcomes and isinstance(problem, UserError):
        raise problem
    if not outcomes:
        text = f"our {reference} cannot be made like this layer ({problem}): give its settings, as in stride=2"
        raise TypeError(text) from problem
    return max(outcomes, key=lambda outcome: (outcome.ok, len(outcome.reports)))


# ---- settings --------------------------------------------------------------------------------------------


def arguments_of(thing, layer):
    """Return ({argument: value}, [settings that cannot be handed over]) for a constructor to give what `layer` is."""
    theirs, taken, lacking = constructor(thing), {}, []
    for name, parameter in constructor(type(layer)).items():
        if name in NO_MATTER:
            continue
        value, required = plain(getattr(layer, name)), parameter.default is parameter.empty
        free = [n for n in theirs if n not in taken]
        known = [n for n in free if called(n, name)]
        if required:  # by both: in the order of ours
            known += [n for n in free if theirs[n].default is parameter.empty and n != "rng"]
        if known:
            taken[known[0]] = value
        elif not required and parameter.default is not None and value != plain(parameter.default):
            lacking.append(name)
    if "rng" in theirs:
        taken["rng"] = numpy.random.default_rng(0)
    return taken, lacking


def constructor(thing):
    """Return {name: Parameter} of what a class or function takes by name."""
    parameters = inspect.signature(thing).parameters
    return {n: p for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def plain(value):
    """Return a setting as most people write it: 3 instead of (3, 3)."""
    if isinstance(value, tuple) and value and all(inner == value[0] for inner in value):
        return value[0]
    return value


def called(theirs, ours):
    """Whether a name is ours, or an alias of it."""
    return theirs.lower() in (ours.lower(), *ALIASES.get(ours, ()))


def settings_of(layer, ours, weights):
    """Return the arguments of our constructor that a layer's attributes say, or its parameters' shapes in a layout."""
    if hasattr(layer, "named_params"):
        shapes = {name: param.value.shape for name, param in layer.named_params().items()}
    else:
        shapes = {slot.name: numpy.shape(slot.value) for slot in slots_of({"self": layer})}
    matched, wanted, arguments = match(shapes, ours.named_params()), constructor(type(ours)), {}
    if "W" in matched and len(shapes[matched["W"]]) == ours.W.value.ndim:
        kind = None if "classes" in wanted else "weight"
        shape = from_layout(numpy.empty(shapes[matched["W"]]), kind, weights).shape
        sides = shape[:-3:-1] if "Transpose" in type(ours).__name__ else shape[-2:]  # in, out
        arguments = dict(zip(wanted, sides, strict=False))  # our constructors take these two first
        if "kernel" in wanted:
            arguments["kernel"] = shape[:-2]
    if "gamma" in matched and "channels" in wanted:
        arguments["channels"] = int(numpy.prod(shapes[matched["gamma"]]))
    for name in wanted:
        value = next((value for n, value in getattr(layer, "__dict__", {}).items() if called(n, name)), None)
        if name not in NO_MATTER and isinstance(value, int | float | tuple | numpy.integer | numpy.floating):
            arguments[name] = value
    return arguments


def drawn_for(ours, x):
    """Return an x like the x of a reference's first case, of a size that suits our layer."""
    sizes = [getattr(ours, name) for name in ("in_channels", "in_features", "channels") if hasattr(ours, name)]
    reach = int(numpy.max(getattr(ours, "kernel", 1)) * numpy.max(getattr(ours, "dilation", 1)))
    sides = [n + i + reach - 1 for i, n in enumerate(x.shape[1:-1])]
    if x.dtype.kind == "i":
        return numpy.random.default_rng(1).integers(0, ours.classes, x.shape)
    shape = (*x.shape[:1], *sides, *(sizes[:1] or x.shape[-1:]))
    return numpy.random.default_rng(1).standard_normal(shape).astype("float32").astype(float)


# ---- running ---------------------------------------------------------------------------------------------


def match(theirs, ours):
    """Return {our name: their name} of parameters: by name; if as many are left over, in order."""
    matched = {}
    for name in ours:
        known = [n for n in theirs if n not in matched.values() and called(n.split(".")[-1], name)]
        matched |= {name: known[0]} if known else {}
    rest = [n for n in theirs if n not in matched.values()]
    lacking = [n for n in ours if n not in matched]
    return matched | (dict(zip(lacking, rest, strict=True)) if len(rest) == len(lacking) else {})


class Trial:
    """A layer of yours in one case, called by our names and with arrays in our layout; theirs is {kind: layout}."""

    def __init__(self, case, build, expected, theirs, at):
        self.case, self.expected, self.layouts, self.shapes, self.at = case, expected, theirs, {}, at
        at(case.name)
        self.kinds = axis_kinds(expected.manifest["of"])
        x = self.theirs("x", case.x)
        subject = subject_of(build(), None, (x,), None)
        self.names, own = subject.names, dict(zip(subject.names, subject.args, strict=True))
        self.notes = [note for note in subject.notes if not note.startswith(UNCHECKED)]  # what is to be there, we know
        self.matched = {"x": "x"} | match(self.names[1:], case.layer.named_params())  # {our name: their name}
        self.shapes = {ours: numpy.shape(own[name]) for ours, name in self.matched.items()}
        own |= {name: self.theirs(ours, self.given(ours)) for ours, name in self.matched.items()}
        self.runner = Runner(replace(subject, args=tuple(own.values())))
        self.y = self.ours("y", self.runner.start(self.runner.args)[0])
        self.dtype = "float32" if self.y.dtype == "float32" else "float64"

    def given(self, name):
        """Return an array of the test vectors."""
        return self.expected.arrays[f"{self.case.name}/float64/{name}"]

    def layout(self, name):
        """Return the kind of an array's axes, and the layout of theirs."""
        kind = self.kinds.get(name)
        return kind, self.layouts.get(kind)

    def theirs(self, name, array):
        """Return an array of ours in their layout and shape: a bias of ours may be a row of theirs."""
        array = to_layout(array, *self.layout(name))
        shape = self.shapes.get(name, array.shape)
        if len(shape) == array.ndim and shape != array.shape:
            raise ValueError(f"{name} has shape {shape}, wanted {array.shape}")
        return array.reshape(shape)

    def ours(self, name, array):
        """Return their array, or the gradient of one, in our layout; a wrong shape stays."""
        shape = to_layout(self.given(name), *self.layout(name)).shape
        if array.shape != self.shapes.get(name, shape):
            return array
        return from_layout(array.reshape(shape), *self.layout(name))

    def right(self):
        """Return which part of y is right."""
        right, tolerance = self.given("y"), self.expected.arrays[f"{self.case.name}/float32/{TOLERANCE}y"]
        return float(numpy.mean(abs(self.y - right) <= tolerance)) if self.y.shape == right.shape else 0.0

    def gradients(self, found):
        """Return {our name: gradient} of the gradients that their backward gives, in their order."""
        found = dict(zip(self.names, found, strict=False))
        pairs = [(ours, found.get(name)) for ours, name in self.matched.items()]
        return {ours: self.ours(ours, gradient) for ours, gradient in pairs if gradient is not None}

    def backward(self, dy, *values):
        """Return the gradients of x and of our parameters; None where there is none."""
        self.at(self.case.name)
        args = dict(zip(self.names, self.runner.args, strict=True))
        for ours, value in zip(references.arguments(self.case), values, strict=True):
            args |= {self.matched[ours]: self.theirs(ours, value)} if ours in self.matched else {}
        found = self.gradients(self.runner.backward(self.theirs("dy", dy), *args.values()))
        return tuple(found.get(ours) for ours in references.arguments(self.case))

    def results(self):
        """Return ({name: array} of y and all gradients, findings)."""
        self.at(self.case.name)
        dy = self.theirs("dy", self.given("dy")).astype(self.y.dtype)
        gradients, findings = watch(self.runner, dy)
        found = {f"d{name}": gradient for name, gradient in self.gradients(gradients).items()}
        return {"y": self.y, **found}, findings


def judged(of, trials, notes, at=lambda case: None):
    """Return the Sweep of trials, [(Case, make)]: of y, dx and the parameters' gradients that both layers have."""
    cases = [case for case, _ in trials]
    expected = make(of, cases=cases)
    best, errors = in_best_layout(trials, expected, at)
    lacking = [n for trial in [*best.values()][:1] for n in references.arguments(trial.case) if n not in trial.matched]
    if lacking:  # parameters of ours that are to do nothing
        expected = make(of, cases=cases, absent=lacking)
        best, errors = in_best_layout(trials, expected, at)
        notes.append(f"{UNCHECKED}{', '.join(lacking)} (no such parameter, or no gradient of it, was found)")
    outcomes, raised = attempted({name: trial.results for name, trial in best.items()})
    notes += [f"{COULD_NOT_RUN} {name}: {text}" for name, text in (errors | raised).items()]
    if not outcomes:
        raise UserError(f"this layer fits no case of {of}: {listed(notes, 1)}.")
    results, findings, wanted, backwards = {}, {}, [], {}
    for name, (arrays, found) in outcomes.items():
        trial, place = best[name], f"{name}/{best[name].dtype}"
        results |= {f"{place}/{key}": array for key, array in arrays.items()}
        findings[place], backwards[name] = found, trial.backward
        gradients = [f"d{n}" for n in references.arguments(trial.case) if n not in lacking]
        wanted += [f"{place}/{key}" for key in ("y", *gradients)]
    sweep = judge(results, expected, [key for key in wanted if key in expected.arrays], cases, backwards)
    for key, texts in findings.items():
        sweep.reports[key].findings += texts
    sweep.missing += [f"{name}/float64/y" for name in errors | raised]
    sweep.notes = ["data {data}, weights {weight}".format(**trial.layouts)] if axis_kinds(of) else []
    sweep.notes += dict.fromkeys([*notes, *(note for trial in best.values() for note in trial.notes)])
    return sweep


def in_best_layout(trials, expected, at):
    """Return ({case: Trial}, {case: error}) in the layouts, of data and weights, with most of y right."""
    pairs, ways = sorted(itertools.product(LAYOUTS, LAYOUTS), key=lambda pair: pair[0] != pair[1]), []
    for data, weights in pairs:
        more = (expected, {"data": data, "weight": weights}, at)
        ways.append(attempted({case.name: functools.partial(Trial, case, build, *more) for case, build in trials}))
    fit, errors = max(ways, key=lambda way: (sum(trial.right() for trial in way[0].values()), len(way[0])))
    if fit:
        return fit, errors
    return fit, {name: " or ".join(dict.fromkeys(raised[name] for _, raised in ways)) for name in errors}


def attempted(jobs):
    """Return ({case: result}, {case: error}) of functions that call the code under test, {case: function}."""
    done, raised = {}, {}
    for case, job in jobs.items():
        try:
            done[case] = job()
        except MemoryError:
            raise
        except Exception as error:  # shapes that do not fit a layout, or anything
            raised[case] = f"{type(error).__name__}: {error}"
    return done, raised
