"""compare and sweep: a layer of your own against ours, at the same inputs and parameters, in your layout."""

import inspect
import itertools

import numpy

from scratchgan.gradcheck.adapt import subject_of
from scratchgan.gradcheck.manners import Runner, watch
from scratchgan.gradcheck.objects import array_names, find_parameters
from scratchgan.vectors import references
from scratchgan.vectors.layouts import LAYOUTS, axis_kinds, from_layout, to_layout
from scratchgan.vectors.make import TOLERANCE, make
from scratchgan.vectors.verify import arranged, judge

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
NO_MATTER = ("momentum", "rng", "bias", "initialize", "affine")  # arguments that y and the gradients do not depend on


def sweep(thing, like):
    """Run a layer class over the awkward cases of ours named `like`, such as "conv2d"; return a `Sweep`.

    thing: a class, or a function that returns a layer. It gets the arguments of our constructor, by
    our names or others in use. A case whose arguments it does not take is left out, and noted.
    y, dx and every parameter's gradient are compared, channels last or first; the manners of
    `check` are watched.
    """
    trials, notes = [], []
    for case in references.cases(like):
        arguments, lacking = arguments_of(thing, case.layer)
        if lacking:
            notes.append(f"left out: {case.name} ({', '.join(lacking)} cannot be set)")
        else:
            trials.append((case, lambda arguments=arguments: thing(**arguments)))
    return judged(like, trials, notes)


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
            problem = error
            continue
        outcomes.append(judged(reference, [(references.Case("case", repr(ours), ours, drawn), lambda: layer)], []))
    if not outcomes:
        text = f"our {reference} cannot be made like this layer ({problem}): give its settings, as in stride=2"
        raise TypeError(text) from problem
    return max(outcomes, key=lambda outcome: (outcome.ok, len(outcome.reports)))


# ---- settings --------------------------------------------------------------------------------------------


def arguments_of(thing, layer):
    """Return ({argument: value}, [settings that cannot be handed over]) for a constructor to give what `layer` is."""
    ours, theirs = constructor(type(layer)), constructor(thing)
    taken, lacking = {}, []
    for name, parameter in ours.items():
        if name in NO_MATTER:
            continue
        value = plain(getattr(layer, name))
        known = next((n for n in theirs if n not in taken and called(n, name)), None)
        if known:
            taken[known] = value
        elif parameter.default is inspect.Parameter.empty or value != plain(parameter.default):
            needed = [n for n, p in theirs.items() if n not in taken and p.default is p.empty and n != "rng"]
            if parameter.default is inspect.Parameter.empty and needed:
                taken[needed[0]] = value  # required by both: in the order of ours
            elif not (parameter.default is None or parameter.default is inspect.Parameter.empty):
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
        slots = find_parameters(layer, array_names(layer))
        shapes = {name: numpy.shape(slot.read()) for name, slot in slots.items()}
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


def match(shapes, ours):
    """Return {our name: their name} of parameters: by name; if as many are left over, in order."""
    matched = {}
    for name in ours:
        free = [n for n in shapes if n not in matched.values()]
        known = [n for n in free if n.split(".")[-1].lower() == name.lower()]
        known += [n for n in free if called(n.split(".")[-1], name)]
        if known:
            matched[name] = known[0]
    rest = [n for n in shapes if n not in matched.values()]
    lacking = [n for n in ours if n not in matched]
    return matched | (dict(zip(lacking, rest, strict=True)) if len(rest) == len(lacking) else {})


class Trial:
    """A layer of yours in one case; its data have one layout, its weights may have another."""

    def __init__(self, case, layer, expected, data, weights):
        self.case, self.expected, self.data, self.weights = case, expected, data, weights
        x = self.theirs("x", case.x)
        subject, args, self.names = subject_of(layer, None, (x,), None)
        shapes = {name: numpy.shape(a) for name, a in zip(self.names[1:], args[1:], strict=True)}
        self.ours = match(shapes, case.layer.named_params())  # {our name: their name}
        self.shapes = {"x": x.shape, **{ours: shapes[name] for ours, name in self.ours.items()}}
        own = dict(zip(self.names, args, strict=True))
        own |= {name: self.theirs(ours, self.given(ours)) for ours, name in self.ours.items()}
        self.runner = Runner(subject, [own[name] for name in self.names], self.names)
        self.y = self.runner.start(self.runner.args)[0]

    def given(self, name):
        return arranged(self.expected, f"{self.case.name}/float64/{name}")

    def layout(self, name):
        """Return the kind of an array's axes and the layout it is in."""
        kind = axis_kinds(self.expected.manifest["of"]).get(name)
        return kind, self.weights if kind == "weight" else self.data

    def theirs(self, name, array):
        """Return an array of ours in their layout and shape: a bias of ours may be a row of theirs."""
        array = to_layout(array, *self.layout(name))
        shape = getattr(self, "shapes", {}).get(name, array.shape)
        if len(shape) == array.ndim and shape != array.shape and array.ndim > 1:
            raise ValueError(f"{name} has shape {shape}, wanted {array.shape}")
        return array.reshape(shape)

    def back(self, name, array, like=None):
        """Return their array in our layout; a wrong shape stays. like: the parameter's name."""
        shape = to_layout(self.given(name if like is None else like), *self.layout(name)).shape
        if array.shape != (shape if like is None else self.shapes[like]):
            return array
        return from_layout(array.reshape(shape), *self.layout(name))

    def right(self):
        """Return which part of y is right."""
        y, right = self.back("y", self.y), self.given("y")
        tolerance = arranged(self.expected, f"{self.case.name}/float32/{TOLERANCE}y")
        return float(numpy.mean(abs(y - right) <= tolerance)) if y.shape == right.shape else 0.0

    def backward(self, dy, x, *values):
        """Return the gradients of x and of our parameters, as far as there are any, all in our layout."""
        given = dict(zip(case_names(self.case), (x, *values), strict=True))
        args = [self.theirs("x", given["x"]), *self.runner.args[1:]]
        for ours, name in self.ours.items():
            args[self.names.index(name)] = self.theirs(ours, given[ours])
        gradients = self.runner.backward(self.theirs("dy", dy), *args)
        gradients = dict(zip(self.names, gradients, strict=False))
        names = {"x": "x"} | self.ours
        return tuple(self.gradient(name, gradients.get(names.get(name))) for name in given)

    def gradient(self, name, array):
        return None if array is None else self.back("dx" if name == "x" else f"d{name}", array, name)

    def results(self):
        """Return ({name: array} of y and all gradients, findings)."""
        arrays, findings = {"y": self.back("y", self.y)}, []
        try:
            dy = self.theirs("dy", self.given("dy")).astype(self.y.dtype)
            gradients, findings = watch(self.runner, dy, self.names)
        except Exception as error:  # the code under test may raise anything
            return arrays, [f"backward raises {type(error).__name__}: {error}"]
        gradients = dict(zip(self.names, gradients, strict=False))
        for name in case_names(self.case):
            array = gradients.get("x" if name == "x" else self.ours.get(name))
            if array is not None and self.given(f"d{name}") is not None:
                arrays[f"d{name}"] = self.gradient(name, array)
        return arrays, findings


def case_names(case):
    """Return the names of a case's arguments: x, and our parameters."""
    return ["x", *case.layer.named_params()]


def judged(of, trials, notes):
    """Return the Sweep of trials, [(Case, make)]: of y, dx and the parameters' gradients that both layers have."""
    cases = [case for case, _ in trials]
    expected = make(of, cases=cases)
    best, errors = in_best_layout(trials, expected)
    lacking = [n for t in best[:1] for n in t.case.layer.named_params() if n not in t.ours]
    if lacking:  # parameters of ours that are to do nothing
        expected = make(of, cases=cases, absent=lacking)
        best, errors = in_best_layout(trials, expected)
        notes = [*notes, f"not there: {', '.join(lacking)}"]
    results, findings, wanted = {}, {}, []
    for trial in best:
        dtype = "float32" if trial.y.dtype == "float32" else "float64"
        arrays, findings[f"{trial.case.name}/{dtype}"] = trial.results()
        results |= {f"{trial.case.name}/{dtype}/{name}": array for name, array in arrays.items()}
        names = ["y", *[f"d{name}" for name in case_names(trial.case) if name not in lacking]]
        keys = [f"{trial.case.name}/{dtype}/{name}" for name in names]
        wanted += [key for key in keys if key in expected.arrays]
    backwards = {trial.case.name: trial.backward for trial in best}
    sweep = judge(results, expected, wanted, {case.name: case for case in cases}, backwards)
    for key, texts in findings.items():
        known = sweep.reports[key].findings
        known += [text for text in texts if text not in known]
    sweep.missing += [f"{name}/float64/y" for name in errors]
    sweep.notes = [*notes, *[f"could not run {name}: {text}" for name, text in errors.items()]]
    if best and axis_kinds(of):
        sweep.notes.insert(0, f"data {best[0].data}, weights {best[0].weights}")
    return sweep


def in_best_layout(trials, expected):
    """Return ([Trial], {case: error}) in the layouts, of data and weights, with most of y right."""
    best, most = ([], {}), -1.0
    pairs = itertools.product(LAYOUTS, LAYOUTS)
    for data, weights in sorted(pairs, key=lambda pair: pair[0] != pair[1]):
        fitting, raised = [], {}
        for case, build in trials:
            try:
                fitting.append(Trial(case, build(), expected, data, weights))
            except Exception as error:  # shapes that do not fit this layout, or anything
                raised[case.name] = f"{type(error).__name__}: {error}"
        score = sum(trial.right() for trial in fitting) + 1e-6 * len(fitting)
        if score > most:
            best, most = (fitting, raised), score
    return best
