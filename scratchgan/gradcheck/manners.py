"""Run code to be checked on NumPy's arrays, and watch its manners: what can be found besides wrong numbers."""

import numpy

from scratchgan.gradcheck.arrays import differs, to_host, to_kind_of
from scratchgan.gradcheck.objects import GRADIENTS


class Runner:
    """A Subject as functions of NumPy's arrays; `args` are as they were given, but on the host.

    dtype: the floating-point type that the code was given; wide: whether it also runs in float64.
    """

    def __init__(self, subject, args, names):
        self.subject, self.names, self.convert = subject, names, [to_kind_of(a) for a in args]
        self.to_device = next((c for a, c in zip(args, self.convert, strict=True) if hasattr(a, "get")), lambda x: x)
        self.args = tuple(numpy.array(to_host(a)) for a in args)
        self.floats = [i for i, a in enumerate(self.args) if a.dtype.kind == "f"]
        if not self.floats:
            raise TypeError("no argument holds floating-point numbers: there is nothing to differentiate by")
        self.dtype = min((self.args[i].dtype for i in self.floats), key=lambda dtype: dtype.itemsize)
        self.wide = self.dtype != numpy.float64 and self.runs_in_float64()

    def runs_in_float64(self):
        """Whether the code takes float64 arrays, and answers with float64."""
        try:
            return self.start(self.widened())[0].dtype == numpy.float64
        except Exception:  # code for float32 alone, such as C's, may refuse in any way
            return False

    def is_float64(self):
        """Whether the code computes in float64, as far as its arrays tell."""
        return self.dtype == numpy.float64 or self.wide

    def widened(self):
        """Return the arguments with float64 in place of smaller floats."""
        return tuple(a.astype(numpy.float64) if a.dtype.kind == "f" else a for a in self.args)

    def narrowed(self, args):
        """Return arguments in the dtypes that the code was given, unless it runs in float64 or they are complex."""
        if self.is_float64():
            return args
        return [a.astype(own.dtype) if a.dtype.kind == "f" else a for a, own in zip(args, self.args, strict=True)]

    def start(self, args, subject=None):
        """Return y, as the code returns it but on the host, and the tape."""
        given = [convert(numpy.array(a)) for convert, a in zip(self.convert, args, strict=True)]
        y, tape = (subject or self.subject).start(*given)
        return numpy.array(to_host(y)), tape

    def forward(self, *args):
        """Return y in float64, or complex: the function whose derivative is wanted."""
        with numpy.errstate(all="ignore"):
            y = self.start(self.narrowed(args))[0]
        return y if y.dtype.kind == "c" else y.astype(numpy.float64)

    def finish(self, dy, tape, subject=None):
        """Return the gradients as the code returns them, on the host, as a tuple; None stays None."""
        with numpy.errstate(all="ignore"):
            gradients = (subject or self.subject).finish(self.to_device(dy), tape)
        if isinstance(gradients, dict):
            gradients = in_order(gradients, self.names)
        if not isinstance(gradients, tuple | list):
            gradients = (gradients,)
        if len(gradients) == len(self.floats) != len(self.args):  # none for integers
            spread = dict(zip(self.floats, gradients, strict=True))
            gradients = [spread.get(i) for i in range(len(self.args))]
        return tuple(None if g is None else numpy.array(to_host(g)) for g in gradients)

    def backward(self, dy, *args, subject=None):
        """Return the gradients of one forward and its backward."""
        y, tape = self.start(self.narrowed(args), subject)
        return self.finish(numpy.asarray(dy, dtype=y.dtype), tape, subject)


def in_order(gradients, names):
    """Return a dict's gradients in the order of the arguments, if its keys name these."""
    ways = (*GRADIENTS, "{}")
    keys = [next((key for way in ways if (key := way.format(n)) in gradients), None) for n in names]
    named = set(gradients) <= set(keys)
    return [gradients.get(key) for key in keys] if named else list(gradients.values())


def watch(runner, dy, names):
    """Return the gradients of the first call, and what is wrong with how the code behaves, as a list of sentences."""
    given = [convert(numpy.array(a)) for convert, a in zip(runner.convert, runner.args, strict=True)]
    raw, tape = runner.subject.start(*given)
    y = numpy.array(to_host(raw))
    findings = [f"forward modifies {name}" for name in touched(given, runner.args, names)]
    upstream = runner.to_device(dy.astype(y.dtype))
    held = [*(to_host(g).copy() for g in given), y, dy.astype(y.dtype)]
    gradients = runner.finish(upstream, tape)
    findings += [f"backward modifies {name}" for name in touched([*given, raw, upstream], held, [*names, "y", "dy"])]
    findings += returned(runner, gradients, names, y)
    if differs(y, runner.start(runner.args)[0]):
        text = "forward changes between calls with the same arguments: give it a random generator of a fixed seed"
        return gradients, [*findings, text]
    return gradients, findings + remembered(runner, dy, gradients, names) + kept_to_protocol(runner, dy)


def kept_to_protocol(runner, dy):
    """Return the findings on the methods of a layer of scratchgan; other code has none."""
    if runner.subject.manners is None:
        return []
    y, tape = runner.start(runner.args)
    with numpy.errstate(all="ignore"):
        return runner.subject.manners(tape, runner.to_device(dy.astype(y.dtype)))


def touched(arrays, before, names):
    """Return the names of arrays that are no longer what they were."""
    pairs = zip(arrays, before, names, strict=True)
    return [name for a, b, name in pairs if not numpy.array_equal(to_host(a), b, equal_nan=b.dtype.kind == "f")]


def returned(runner, gradients, names, y):
    """Return findings about the number of gradients, their shapes, dtypes, and numbers that are not finite."""
    findings = [] if numpy.isfinite(y).all() else ["forward returns numbers that are not finite"]
    if len(gradients) != len(names):
        findings.append(f"backward returns {len(gradients)} gradients for {len(names)} arguments {', '.join(names)}")
    for i, (name, gradient) in enumerate(zip(names, gradients, strict=False)):
        x = runner.args[i]
        if i not in runner.floats or (gradient is None and runner.subject.none_is_zero):
            continue
        if gradient is None:
            findings.append(f"the gradient of {name} is None")
            continue
        if gradient.shape != x.shape:
            findings.append(f"the gradient of {name} has shape {gradient.shape}, wanted {x.shape}")
        if gradient.dtype != x.dtype and gradient.ndim:
            findings.append(f"the gradient of {name} is {gradient.dtype}, wanted {x.dtype}")
        if gradient.dtype.kind in "fc" and not numpy.isfinite(gradient).all():
            findings.append(f"the gradient of {name} holds numbers that are not finite")
    return findings


def remembered(runner, dy, first, names):
    """Return findings about what is left from one call to the next: repeat it, and put another call between."""
    rng, used, fresh = numpy.random.default_rng(2), runner.subject.live(), runner.subject.live()
    other, other_dy = list(runner.args), dy * rng.uniform(0.5, 2, dy.shape).astype(dy.dtype)
    for i in [i for i in runner.floats if i < (runner.subject.inputs or len(other))]:
        other[i] = other[i] * rng.uniform(0.9, 1.1, other[i].shape).astype(other[i].dtype)
    y, once = both(runner, dy, runner.args, used)
    again, twice = both(runner, dy, runner.args, used)
    if differs(y, again):  # a layer with a random generator of its own draws anew
        return []
    changing = unlike(first, once, names) | unlike(first, twice, names)
    if changing:
        pairs = zip(once, twice, strict=True)  # each call may add one more
        doubled = changing - unlike(first, [None if a is None or b is None else b - a for a, b in pairs], names)
        text = "changes when the same call is made again"
        added = ": it is added to the old one"
        return [f"the gradient of {n} {text}{added if n in doubled else ''}" for n in names if n in changing]
    other_y, elsewhere = both(runner, other_dy, other, used)
    fresh_y, unspoilt = both(runner, other_dy, other, fresh)
    late = set() if differs(fresh_y, other_y) else unlike(unspoilt, elsewhere, names)
    findings = [f"the gradient of {name} is stale: it belongs to an earlier call" for name in names if name in late]
    sizes = {name: numpy.max(numpy.abs(g), initial=0) for name, g in zip(names, first, strict=False) if g is not None}
    moving = {name for name, size in sizes.items() if size > 1e-9 * max(sizes.values())}  # a 0 has rounding alone
    for name in sorted(moving - unlike(first, elsewhere, names)) if runner.subject.upstream else ():
        findings.append(f"the gradient of {name} is stale, or a constant: other arguments and another dy give the same")
    if runner.subject.interleaves:
        own = runner.subject.live()
        y, tape = runner.start(runner.args, own)
        runner.start(other, own)
        late = runner.finish(dy.astype(y.dtype), tape, own)
        for name in sorted(unlike(first, late, names)):
            findings.append(f"the gradient of {name} is of the wrong call when two forwards come before two backwards")
    return findings


def both(runner, dy, args, subject):
    """Return y and the gradients of one forward and its backward."""
    y, tape = runner.start(args, subject)
    return y, runner.finish(dy.astype(y.dtype), tape, subject)


def unlike(first, second, names):
    """Return the names of gradients that differ by more than rounding."""
    pairs = zip(names, first, second, strict=False)
    return {name for name, a, b in pairs if (a is None) != (b is None) or (a is not None and differs(a, b))}
