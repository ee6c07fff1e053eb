"""Run code to be checked on NumPy's arrays, and watch its manners: what can be found besides wrong numbers."""

import copy
import re

import numpy

from scratchgan.gradcheck import constants as c
from scratchgan.gradcheck.arrays import differs, same, to_host, to_kind_of


class Runner:
    """A Subject as functions of NumPy's arrays; `args` are its own, but on the host.

    dtype: the floating-point type that the code was given; wide: whether it also runs in float64.
    """

    def __init__(self, subject):
        self.subject, self.names, self.convert = subject, subject.names, [to_kind_of(a) for a in subject.args]
        self.to_device = next((to_kind_of(a) for a in subject.args if hasattr(a, "get")), lambda x: x)
        self.args = tuple(numpy.array(to_host(a)) for a in subject.args)
        for name, a in zip(self.names, self.args, strict=True):
            require_real(name, a)
        self.floats = [i for i, a in enumerate(self.args) if a.dtype.kind == "f"]
        if not self.floats:
            raise TypeError("no argument holds floating-point numbers: there is nothing to differentiate by")
        self.dtype = min((self.args[i].dtype for i in self.floats), key=lambda dtype: dtype.itemsize)
        self.wide = self.dtype != numpy.float64 and self.runs_in_float64()

    def live(self):
        """Return a Runner that keeps using one object, as its owner would."""
        runner = copy.copy(self)
        runner.subject = self.subject.live()
        return runner

    def runs_in_float64(self):
        """Whether the code takes float64 arrays, forward and backward, and answers with float64."""
        try:
            y = self.start(self.widened())[0]
            self.both(numpy.zeros(y.shape), self.widened())
            return y.dtype == numpy.float64
        except Exception:  # code for float32 alone, such as C's, may refuse in any way
            return False

    def widened(self):
        """Return the arguments with float64 in place of smaller floats."""
        return tuple(a.astype(numpy.float64) if a.dtype.kind == "f" else a for a in self.args)

    def narrowed(self, args):
        """Return arguments in the dtypes that the code was given, unless it runs in float64 or they are complex."""
        narrow = self.dtype != numpy.float64 and not self.wide
        pairs = zip(args, self.args, strict=True)
        return [a.astype(own.dtype) if narrow and a.dtype.kind == "f" else a for a, own in pairs]

    def given(self, args):
        """Return copies of the arguments, of the code's own kind of arrays."""
        return [convert(numpy.array(a)) for convert, a in zip(self.convert, args, strict=True)]

    def start(self, args):
        """Return y, as the code returns it but on the host, and the tape."""
        y, tape = self.subject.start(*self.given(args))
        return numpy.array(to_host(y)), tape

    def forward(self, *args):
        """Return y in float64, or complex: the function whose derivative is wanted."""
        with numpy.errstate(all="ignore"):
            y = self.start(self.narrowed(args))[0]
        return y if y.dtype.kind == "c" else y.astype(numpy.float64)

    def upstream(self, dy, y):
        """Return a copy of dy in the floating-point type of y, of the code's own kind of arrays."""
        return self.to_device(dy.astype(y.dtype if y.dtype.kind == "f" else float))

    def finish(self, dy, tape):
        """Return the gradients as the code returns them, on the host, as a tuple; it may write to dy. None stays."""
        with numpy.errstate(all="ignore"):
            gradients = self.subject.finish(dy, tape)
        return tuple(None if g is None else numpy.array(to_host(g)) for g in gradients)

    def both(self, dy, args):
        """Return y and the gradients of one forward and its backward."""
        y, tape = self.start(args)
        return y, self.finish(self.upstream(dy, y), tape)

    def backward(self, dy, *args):
        """Return the gradients of one forward and its backward, where the code computes in what forward does."""
        return self.both(dy, self.narrowed(args))[1]


def require_real(name, array):
    """Raise TypeError with advice unless an array holds real numbers. Of complex ones there are two conventions."""
    if array.dtype.kind == "c":
        advice = "the gradient may mean its conjugate: make it two real arrays, the real and the imaginary part"
        raise TypeError(f"{name} is complex ({array.dtype}); {advice}")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} holds {array.dtype}, wanted an array of real numbers")


def watch(runner, dy, only=None):
    """Return the gradients of the first call, and what is wrong with how the code behaves, as a list of sentences.

    only: the names of the arguments to speak of; None means all.
    """
    given, names = runner.given(runner.args), runner.names
    raw, tape = runner.subject.start(*given)
    y = numpy.array(to_host(raw))
    findings = [f"forward modifies {name}" for name in touched(given, runner.args, names)]
    handed = runner.upstream(dy, y)
    before = [numpy.array(to_host(a)) for a in (*given, y, handed)]
    gradients = runner.finish(handed, tape)
    findings += [f"backward modifies {name}" for name in touched([*given, raw, handed], before, [*names, "y", "dy"])]
    findings += returned(runner, gradients, y)
    again, tape = runner.start(runner.args)
    if differs(y, again):
        text = "forward changes between calls with the same arguments: give it a random generator of a fixed seed"
        findings.append(text)
    else:
        findings += remembered(runner, dy, gradients)
        if runner.subject.manners is not None:
            with numpy.errstate(all="ignore"):
                findings += runner.subject.manners(tape, runner.upstream(dy, y))
    return gradients, [text for text in findings if only is None or concerns(text, names, only)]


def concerns(text, names, only):
    """Whether a finding is about one of the arguments in `only`, or about no argument."""
    named = [n for n in names if re.search(rf"(modifies|of) {re.escape(n)}(?!\w)", text)]
    return not named or not set(named).isdisjoint(only)


def touched(arrays, before, names):
    """Return the names of arrays that are no longer what they were."""
    return [name for a, b, name in zip(arrays, before, names, strict=True) if not same(a, b)]


def returned(runner, gradients, y):
    """Return findings about the number of gradients, their shapes, dtypes, and numbers that are not finite."""
    names, bounded = runner.names, all(numpy.isfinite(runner.args[i]).all() for i in runner.floats)
    findings = ["forward returns numbers that are not finite"] if bounded and not numpy.isfinite(y).all() else []
    if len(gradients) != len(names):
        findings.append(f"backward returns {len(gradients)} gradients for {len(names)} arguments {', '.join(names)}")
    for i, (name, gradient) in enumerate(zip(names, gradients, strict=False)):
        x = runner.args[i]
        if i not in runner.floats or gradient is None:
            continue
        if gradient.shape != x.shape:
            findings.append(f"the gradient of {name} has shape {gradient.shape}, wanted {x.shape}")
        narrow = gradient.dtype == y.dtype and y.dtype.itemsize < x.dtype.itemsize  # JAX computes in float32
        wide = x.dtype == numpy.float16 and gradient.dtype == numpy.float32
        if gradient.dtype not in (x.dtype, x.dtype.newbyteorder("=")) and gradient.ndim and not narrow and not wide:
            findings.append(f"the gradient of {name} is {gradient.dtype}, wanted {x.dtype}")
        where = numpy.isfinite(x) if gradient.shape == x.shape else ...
        if gradient.dtype.kind in "fc" and not numpy.isfinite(gradient[where]).all():
            findings.append(f"the gradient of {name} holds numbers that are not finite")
    return findings


def remembered(runner, dy, first):
    """Return findings about what is left from one call to the next: repeat it, and put another call between."""
    names, used, (other_dy, other) = runner.names, runner.live(), another_call(runner, dy)
    y, once = used.both(dy, runner.args)
    again, twice = used.both(dy, runner.args)
    if differs(y, again):  # a layer with a random generator of its own draws anew
        return []
    if changing := unlike(first, once, names) | unlike(first, twice, names):
        pairs = zip(once, twice, strict=True)  # each call may add one more
        doubled = changing - unlike(first, [None if a is None or b is None else b - a for a, b in pairs], names)
        added = {name: ": it is added to the old one" if name in doubled else "" for name in changing}
        return [f"the gradient of {n} changes when the same call is made again{added[n]}" for n in names if n in added]
    other_y, elsewhere = used.both(other_dy, other)
    fresh_y, unspoilt = runner.live().both(other_dy, other)
    late = [] if differs(fresh_y, other_y) else sorted(unlike(unspoilt, elsewhere, names))
    findings = [f"the gradient of {name} is stale: it belongs to an earlier call" for name in late]
    sizes = {name: numpy.max(numpy.abs(g), initial=0) for name, g in zip(names, first, strict=False) if g is not None}
    moving = {name for name, size in sizes.items() if size > c.AS_ZERO * max(sizes.values())}  # a 0 has rounding alone
    fixed = sorted(moving - unlike(first, elsewhere, names)) if runner.subject.upstream else []
    text = "is stale, or a constant: other arguments and another dy give the same"
    findings += [f"the gradient of {name} {text}" for name in fixed]
    if runner.subject.interleaves:
        own = runner.live()
        y, tape = own.start(runner.args)
        own.start(other)
        text = "is of the wrong call when two forwards come before two backwards"
        late = sorted(unlike(first, own.finish(runner.upstream(dy, y), tape), names))
        findings += [f"the gradient of {name} {text}" for name in late]
    return findings


def another_call(runner, dy):
    """Return another dy and other arguments; only another dy where forward does not take these."""
    rng, other = numpy.random.default_rng(2), list(runner.args)
    dy = dy * rng.uniform(0.5, 2, dy.shape).astype(dy.dtype)
    for i in [i for i in runner.floats if i < (runner.subject.inputs or len(other))]:
        other[i] = other[i] * rng.uniform(0.9, 1.1, other[i].shape).astype(other[i].dtype)
    try:
        runner.start(other)
    except Exception:  # it is out of forward's domain
        other = list(runner.args)
    return dy, other


def unlike(first, second, names):
    """Return the names of gradients that differ by more than rounding."""
    return {name for name, a, b in zip(names, first, second, strict=False) if differs(a, b)}
