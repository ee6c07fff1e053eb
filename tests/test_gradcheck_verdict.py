"""What the verdict must obey at the edges of arithmetic, of a domain, and of what was asked for."""

import math

import gradcheck_controls
import numpy as np
import pytest
from draws import ALL

from scratchgan.gradcheck import AGREE, UNRESOLVED, WRONG, Cause, check, check_second, verdict

f32, f16 = np.float32, np.float16


def drawn(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


@pytest.fixture(autouse=True)
def no_causes(monkeypatch):
    """Look for no causes, which takes far longer than a verdict: they are one, made up, for what is wrong."""
    monkeypatch.setattr(verdict, "diagnose", lambda context: [Cause(" ".join(context.comparisons), False, "location")])


def times(backward, factor):
    """Return a backward whose gradients are all wrong by a factor."""

    def scaled(*args):
        gradients = backward(*args)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        return tuple(None if g is None else (g * factor).astype(np.asarray(g).dtype) for g in gradients)

    return scaled


def inside(dtype, forward, backward):
    """Return code that computes in a dtype, whatever it is given."""
    cast = lambda args: [np.asarray(a, dtype) if np.asarray(a).dtype.kind == "f" else a for a in args]
    each = lambda gradients: tuple(np.asarray(g, dtype) for g in gradients)
    return lambda *a: forward(*cast(a)), lambda *a: each(backward(*cast(a)))


# ---- sharpness -------------------------------------------------------------------------------------------

CONTROLS = list(gradcheck_controls.controls())


def judged(comparison):
    """Whether there is something to be wrong about: a gradient that is not zero everywhere but at a kink or a tie."""
    return bool(np.any(comparison.numeric[comparison.checked]))


@pytest.mark.parametrize("part", range(4))
def test_the_gradient_of_every_control_times_1_01_is_wrong(part):
    """Nothing is right, and nothing is left unresolved, that a factor of 1.01 makes wrong; half of them, all in CI."""
    blunt, parts = [], 4 if ALL else 8
    for name, forward, backward, args, names in CONTROLS[part::parts]:
        with np.errstate(all="ignore"):
            report = check(forward, backward, args, names=names)
            assert report.overall == AGREE, f"{name}\n{report}"
            if any(map(judged, report.comparisons.values())):
                blunt.append(check(forward, times(backward, 1.01), args, names=names).overall != WRONG and name)
    assert not any(blunt) and len(blunt) > 120 / parts, blunt


# ---- code that computes in float32 or float16 ------------------------------------------------------------


def batch_norm(x, gamma):
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + x.dtype.type(1e-5))


def batch_norm_backward(dy, x, gamma):
    s = np.sqrt(x.var(0) + x.dtype.type(1e-5))
    h, d = (x - x.mean(0)) / s, dy * gamma
    return (d - d.mean(0) - h * (d * h).mean(0)) / s, (dy * h).sum(0)


def windows(x, W):
    return np.stack([x[:, i : x.shape[1] - len(W) + 1 + i] for i in range(len(W))], 2)


def conv_backward(dy, x, W):
    dx = np.zeros_like(x)
    for i, row in enumerate(W):
        dx[:, i : i + dy.shape[1]] += dy @ row.T
    return dx, np.einsum("ntkc,nto->kco", windows(x, W), dy)


def softmax_backward(dy, x):
    p = np.exp(x - x.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return (p * (dy - (dy * p).sum(1, keepdims=True)),)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


NARROW = {  # name: (forward, backward, args)
    "square": (lambda x: x**2, lambda dy, x: (2 * x * dy,), (np.array([1.0, -2.0, 3.0]),)),
    "dense": (lambda x, W: x @ W, lambda dy, x, W: (dy @ W.T, x.T @ dy), (drawn(8, 5), drawn(5, 4))),
    "convolution": (lambda x, W: np.einsum("ntkc,kco->nto", windows(x, W), W), conv_backward,
                    (drawn(2, 8, 3), drawn(3, 3, 4))),
    "batch norm": (batch_norm, batch_norm_backward, (drawn(16, 4) + 3, drawn(4))),
    "softmax": (softmax, softmax_backward, (3 * drawn(4, 6),)),
    "a long sum": (lambda x: (x * x).sum(), lambda dy, x: (2 * x * dy,), (drawn(1000),)),
    "a mean": (lambda x: np.mean(x**2), lambda dy, x: (2 * x * dy / x.dtype.type(x.size),), (drawn(300),)),
    "tanh": (np.tanh, lambda dy, x: (dy * (1 - np.tanh(x) ** 2),), (drawn(9),)),
}  # fmt: skip


@pytest.mark.parametrize("given", [f32, float])
@pytest.mark.parametrize("name", NARROW)
def test_right_float32_code_agrees_and_a_factor_is_seen(name, given):
    forward, backward, args = NARROW[name]
    forward, backward = inside(f32, forward, backward)
    args = tuple(a.astype(given) for a in args)
    report = check(forward, backward, args)
    assert report.ok, str(report)
    for factor in (1.05, 0.95, 100):
        report = check(forward, times(backward, factor), args)
        assert set(report.verdict.values()) == {WRONG}, str(report)


@pytest.mark.parametrize("given", [f16, f32, float])
@pytest.mark.parametrize("name", NARROW)
def test_right_float16_code_is_never_wrong_and_one_that_is_far_off_never_agrees(name, given):
    forward, backward, args = NARROW[name]
    stored = inside(f16, lambda *a: forward(*[x.astype(f32) for x in a]).astype(f16),
                    lambda *a: [g.astype(f16) for g in backward(*[x.astype(f32) for x in a])])  # fmt: skip
    args = tuple(a.astype(given) for a in args)
    for ways in (inside(f16, forward, backward), stored, (forward, backward)):
        report = check(*ways, args)
        assert report.overall in (AGREE, UNRESOLVED) and not report.findings, str(report)
        for factor in (1.5, -1, 100) if ALL else (1.5,):  # the hardest to tell
            assert not check(ways[0], times(ways[1], factor), args).ok


def test_what_float32_cannot_tell_is_unresolved_and_says_so():
    forward, backward = inside(f32, lambda x: x**2, lambda dy, x: (2 * x * dy,))
    x = drawn(6) + 1e4
    for factor in (1, 1.3, 0):
        report = check(forward, times(backward, factor), x)
        assert report.overall != WRONG if factor == 1 else not report.ok, str(report)
    report = check(forward, times(backward, 1.03), x + 1e5)
    assert report.overall == UNRESOLVED and "offset" in report.notes[0]
    product = inside(f32, lambda x, W: x @ W, lambda dy, x, W: (dy @ W.T, x.T @ dy))
    args = drawn(3, 4), 1e-5 * drawn(4, 4) + np.eye(4)
    report = check(*product, args, names="xW", only="W")
    assert report.overall != WRONG


def test_buffers_of_float32_in_code_for_float32_are_no_error():
    def backward(dy, x, W):
        dW = np.zeros(W.shape, f32)
        dW += x.T @ dy
        return (dy @ W.T).astype(f32), dW

    args = drawn(6, 5).astype(f32), drawn(5, 4).astype(f32)
    report = check(lambda x, W: x @ W, backward, args)
    assert report.ok, str(report)
    assert check(lambda x, W: x @ W, times(backward, 1.01), args).overall == WRONG


def test_gradients_that_underflow_in_float16_are_no_error():
    x = drawn(50, 20).astype(f16)
    backward = lambda x: (2 * x / f16(1000) / f16(1000)).astype(x.dtype)
    report = check(lambda x: (x**2).mean() / x.dtype.type(1000), backward, x)
    assert report.overall != WRONG, str(report)


@pytest.mark.parametrize("given", [f32, float])
def test_jax_in_its_default_precision_is_not_blamed(given):
    jax = pytest.importorskip("jax")
    cases = [
        (lambda x, W: jax.numpy.tanh(x @ W), (drawn(6, 5), drawn(5, 3))),
        (lambda x: (x - x.mean(0)) / jax.numpy.sqrt(x.var(0) + 1e-5), (drawn(12, 3),)),
        (lambda x: jax.nn.logsumexp(x, axis=1), (drawn(12, 3),)),
    ]
    own = jax.numpy.asarray
    for f, args in cases:
        pull = lambda dy, *a, f=f: tuple(map(np.asarray, jax.vjp(f, *map(own, a))[1](own(dy))))
        forward = lambda *a, f=f: np.asarray(f(*map(own, a)))
        args = tuple(a.astype(given) for a in args)
        report = check(forward, pull, args)
        assert report.ok, str(report)
        assert check(forward, times(pull, f32(1.05)), args).overall == WRONG


# ---- offsets ---------------------------------------------------------------------------------------------

OFFSETS = {  # name: (forward, backward)
    "a sum": (lambda x: x.sum() + 1e14, lambda x: np.ones(3)),
    "each entry": (lambda x: 1e-3 * x + 1e14, lambda dy, x: (1e-3 * dy,)),
    "no complex numbers": (lambda x: math.fsum(1e-3 * x) + 1e14, lambda x: 1e-3 * np.ones(3)),
    "float32": (lambda x: x.astype(f32).sum() + f32(1e8), lambda x: np.ones(3)),
    "float32 inside": (lambda x: float(x.astype(f32).sum() + f32(1e8)), lambda x: np.ones(3)),
}


@pytest.mark.parametrize("name", OFFSETS)
@pytest.mark.parametrize("factor", [1, 1.3, 0])
def test_a_huge_offset_is_unresolved_and_the_report_says_what_to_do(name, factor):
    forward, backward = OFFSETS[name]
    report = check(forward, times(backward, factor), np.array([1.0, -2.0, 3.0]))
    assert report.overall == UNRESOLVED and "subtract the offset" in report.notes[0], str(report)
    assert not check(forward, lambda *args: np.full(3, 1e14), np.array([1.0, -2.0, 3.0])).ok


def test_an_offset_that_leaves_enough_digits_is_no_obstacle():
    for offset in (1e6, 1e10):
        f = lambda x, offset=offset: x**2 + offset
        assert check(f, lambda dy, x: (2 * x * dy,), np.array([1.0, -2.0, 3.0])).ok
        assert check(f, lambda dy, x: (2.1 * x * dy,), np.array([1.0, -2.0, 3.0])).overall == WRONG


# ---- the edge of a domain --------------------------------------------------------------------------------

TABLE = np.array([0.3, -1.2, 0.7, 2.0])


def guarded(f, *, error=ValueError, least=0.0, most=np.inf):
    """Return f, which raises outside its domain."""

    def inside(x):
        if (x < least).any() or (x > most).any():
            raise error("out of the domain")
        return f(x)

    return inside


def by_math(f):
    return lambda x: np.array([f(v) for v in x])


EDGES = {  # name: (forward, derivative, x): probes of the usual size leave the domain, on one side or on both
    "an index": (lambda x: TABLE[np.floor(x).astype(int)] * x, lambda x: TABLE[np.floor(x).astype(int)],
                 [3.99999, 1.5, 2.2, 0.3]),
    "log near 0": (by_math(math.log), lambda x: 1 / x, [0.01, 1, 2]),
    "log very near 0": (by_math(math.log), lambda x: 1 / x, [1e-9, 5, 1]),
    "sqrt near 0": (by_math(math.sqrt), lambda x: 0.5 / np.sqrt(x), [1e-6, 1, 2]),
    "an assertion": (guarded(np.exp, error=AssertionError), np.exp, [1e-3, 1, 2]),
    "at the edge": (guarded(lambda x: 3 * x + x**2), lambda x: 3 + 2 * x, [0, 1, 2]),
    "at both edges": (guarded(np.sin, most=1.0), np.cos, [0, 1, 0.5]),
    "NaN on one side": (lambda x: np.where(x < 0, np.nan, 2 * x + x**2), lambda x: 2 + 2 * x, [0, 1, 2]),
    "arcsin near 1": (by_math(math.asin), lambda x: 1 / np.sqrt(1 - x**2), [0.999, 0.1, -0.99]),
    "another shape": (lambda x: x[x > 0] ** 2, lambda x: 2 * x, [1e-3, 1, 2]),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_probes_stay_inside_the_domain(name):
    forward, derivative, x = EDGES[name]
    x = np.array(x, float)
    report = check(forward, lambda dy, x: (dy * derivative(x),), x)
    assert report.ok and "unresolved" not in str(report), str(report)
    assert check(forward, lambda dy, x: (dy * derivative(x) * 1.01,), x).overall == WRONG


def test_an_entry_that_cannot_be_moved_is_unresolved_and_says_why():
    def only_there(x):
        if x != 0.25:
            raise LookupError("no such point")
        return 2 * x

    report = check(only_there, lambda dy, x: (2 * dy,), np.array(0.25))
    assert report.overall == UNRESOLVED and report.notes == ["x: forward raises LookupError beside this point"]
    report = check(by_math(math.sqrt), lambda dy, x: (dy,), np.array([0.0, 1.0]))
    assert not report.ok and "x[0]: forward raises ValueError beside this point" in report.notes, str(report)


def lower_gradient(dy, a):
    """The gradient of the Cholesky factor in the lower triangle of a, which alone is read."""
    L = np.linalg.cholesky(a)
    p = np.tril(L.T @ dy)
    p[np.diag_indices(len(a))] *= 0.5
    g = np.linalg.solve(L.T, p) @ np.linalg.inv(L)
    return np.tril(g + g.T) - np.diag(np.diag(g))


def test_a_function_that_reads_one_triangle_is_judged_as_what_it_is():
    root = drawn(4, 4)
    a = root @ root.T + 0.1 * np.eye(4)
    said = "forward reads only the lower triangle of a: a symmetrised gradient differs"
    report = check(np.linalg.cholesky, lambda dy, a: (lower_gradient(dy, a),), a, names=("a",))
    assert report.ok and said in report.notes, str(report)
    symmetrised = lambda dy, a: ((lower_gradient(dy, a) + lower_gradient(dy, a).T) / 2,)
    report = check(np.linalg.cholesky, symmetrised, a, names=("a",))
    assert report.overall == WRONG and said in str(report)

    def eigen_gradient(dy, a):
        Q = np.linalg.eigh(a)[1]
        g = (Q * dy) @ Q.T
        return (np.tril(g + g.T) - np.diag(np.diag(g)),)

    report = check(np.linalg.eigvalsh, eigen_gradient, a, names=("a",))
    assert report.ok and said in report.notes, str(report)
    whole = check(lambda a: a @ a, lambda dy, a: (dy @ a.T + a.T @ dy,), a, names=("a",))
    assert whole.ok and not whole.notes


def test_a_matrix_near_singular_raises_nothing():
    Q = np.linalg.qr(drawn(4, 4))[0]
    for least in (1e-3, 1e-6, 1e-9):
        a = (Q * np.array([least, 1, 2, 3])) @ Q.T
        report = check(np.linalg.cholesky, lambda dy, a: (lower_gradient(dy, a),), (a + a.T) / 2)
        assert report.overall != WRONG, str(report)


def test_what_the_point_itself_raises_is_passed_on_and_so_is_an_interrupt():
    def fails(x):
        raise RuntimeError("at the point itself")

    with pytest.raises(RuntimeError, match="at the point itself"):
        check(fails, lambda dy, x: (dy,), drawn(3))

    def interrupted(x):
        if x[0] != 1:
            raise KeyboardInterrupt
        return x

    with pytest.raises(KeyboardInterrupt):
        check(interrupted, lambda dy, x: (dy,), np.array([1.0, 2.0]))


# ---- arguments that are not finite, not read, or empty ---------------------------------------------------


def attention(x, mask):
    return softmax(x + mask)


def attention_backward(dy, x, mask):
    g = softmax_backward(dy, x + mask)[0]
    return g, g


def test_entries_that_are_not_finite_are_not_judged():
    x, mask = drawn(3, 4), np.where(np.tri(3, 4, 1) > 0, 0.0, -np.inf)
    report = check(attention, attention_backward, (x, mask))
    assert report.ok and report.notes == ["mask: 3 of 12 entries are not finite, and are not judged"], str(report)
    wrong = lambda dy, x, mask: (attention_backward(dy, x, mask)[0], 1.01 * attention_backward(dy, x, mask)[1])
    assert check(attention, wrong, (x, mask)).verdict == {"x": AGREE, "mask": WRONG}
    unknown = lambda dy, x, mask: (attention_backward(dy, x, mask)[0], attention_backward(dy, x, mask)[1] + mask)
    assert check(attention, unknown, (x, mask)).ok  # what stands at a masked entry means nothing
    masked = lambda dy, x, mask: (dy * np.isfinite(mask), dy * np.isfinite(mask))
    assert check(lambda x, mask: x + mask, masked, (x, mask)).ok  # scores that are -inf
    gaps = np.where(np.tri(3, 4, 1) > 0, x, np.nan)
    known = lambda dy, x: (np.where(np.isnan(x), 0, 2 * np.nan_to_num(x) * dy),)
    report = check(lambda x: np.nan_to_num(x) ** 2, known, gaps)
    assert report.ok and "3 of 12 entries are not finite" in report.notes[0], str(report)
    assert check(attention, attention_backward, (x, mask), directions=3).ok
    nothing = check(lambda x, mask: x + 0 * np.isfinite(mask), lambda dy, x, mask: (dy, 0 * dy), (x, mask - np.inf))
    assert nothing.verdict["mask"] == UNRESOLVED


@pytest.mark.parametrize("dtype", [f32, float])
def test_an_argument_that_is_not_read_is_named(dtype):
    x, W1 = drawn(3, 4).astype(dtype), drawn(4, 4).astype(dtype)
    for forward in (lambda x, W1: 2 * x, lambda x, W1: 2 * x + 0 * W1.sum(), lambda x, W1: 2 * x * (W1.size > 0)):
        report = check(forward, lambda dy, x, W1: (2 * dy, 0 * W1), (x, W1))
        assert report.ok and report.notes == ["forward does not depend on W1"], str(report)
        report = check(forward, lambda dy, x, W1: (2 * dy, W1), (x, W1))
        assert report.verdict == {"x": AGREE, "W1": WRONG} and not report.causes, str(report)
        assert report.findings == ["forward does not depend on W1, and the gradient of W1 is not 0"]
        report = check(forward, lambda dy, x, W1: (3 * dy, W1), (x, W1))
        assert report.causes and not any("W1" in cause.text for cause in report.causes)
    linear = check_second(lambda dy, x: 2 * dy, lambda ddx, dy, x: (2 * ddx, None), (drawn(3), drawn(3)))
    assert linear.ok and not linear.notes


# ---- what no number can tell -----------------------------------------------------------------------------

W64, fast_gradient = drawn(4, 4), lambda dy, x: (100 * np.cos(100 * x) * dy,)
HIDING = {  # name: (forward, backward, x), all right, and in float32 or behind an offset
    "a fast sine": (lambda x: np.sin(100 * x) + 1e8, fast_gradient, drawn(4) + 1e4),
    "no complex numbers": (by_math(lambda v: math.sin(100 * v) + 1e8), fast_gradient, drawn(4) + 1e4),
    "float32 inside": (
        lambda x: (np.tanh(x.astype(f32) @ W64.astype(f32)) + f32(1e8)).astype(float),
        lambda dy, x: (dy * (1 - np.tanh(x @ W64) ** 2) @ W64.T,), drawn(3, 4)),
    "an underflow": (lambda x: x.astype(f32) ** 2, lambda dy, x: (2 * x * dy,), 1e-38 * drawn(3)),
}  # fmt: skip


@pytest.mark.parametrize("name", HIDING)
def test_what_hides_behind_an_offset_or_an_underflow_is_unresolved(name):
    forward, backward, x = HIDING[name]
    report = check(forward, backward, x)
    assert report.overall != WRONG and (report.ok or report.notes), str(report)
    assert not any("does not depend" in note for note in report.notes)
    assert not check(forward, times(backward, 1.3), x).ok


@pytest.mark.parametrize("offset", [1e4, 1e6, 1e8])
def test_zeros_never_agree_where_float32_hides_slopes(offset):
    forward = lambda x: (np.tanh(x.astype(f32) @ W64.astype(f32)) + f32(offset)).astype(float)
    assert not check(forward, lambda dy, x: 0 * x, drawn(3, 4)).ok
