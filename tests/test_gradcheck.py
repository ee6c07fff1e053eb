"""What the checker itself must obey: no false alarm, no bug missed, and nothing to choose."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan.gradcheck import AGREE, UNRESOLVED, WRONG, check, ridders

rng = np.random.default_rng(0)


# ---- random smooth functions, right and wrong ------------------------------------------------------------

POINTWISE = {  # name: (f, f')
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sin": (np.sin, np.cos),
    "exp": (np.exp, np.exp),
    "cube": (lambda z: z**3, lambda z: 3 * z**2),
    "arctan": (np.arctan, lambda z: 1 / (1 + z**2)),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
}


@st.composite
def networks(draw):
    """Draw (forward, backward, args): x -> f(x W + b) -> g(. V), with right gradients for x, W, b and V."""
    seed = draw(st.integers(0, 2**32 - 1))
    own = np.random.default_rng(seed)
    N, C, H, O = (draw(st.integers(1, 4)) for _ in range(4))
    (f, df), (g, dg) = (POINTWISE[draw(st.sampled_from(sorted(POINTWISE)))] for _ in range(2))
    scale = draw(st.sampled_from([1e-6, 1e-3, 1.0, 30.0]))  # of x; the weights make up for it
    x, W = own.standard_normal((N, C)) * scale, own.standard_normal((C, H)) / scale * 0.5
    b, V = own.standard_normal(H) * 0.5, own.standard_normal((H, O)) * 0.5

    def forward(x, W, b, V):
        return g(f(x @ W + b) @ V)

    def backward(dy, x, W, b, V):
        z = x @ W + b
        h = f(z)
        dq = dy * dg(h @ V)
        dz = dq @ V.T * df(z)
        return dz @ W.T, x.T @ dz, dz.sum(0), h.T @ dq

    return forward, backward, (x, W, b, V)


@settings(max_examples=60, deadline=None)
@given(networks())
def test_right_gradients_of_random_functions_agree(network):
    report = check(*network)
    assert report.ok, str(report)
    assert set(report.verdict) == {"x", "W", "b", "V"} and report.overall == AGREE
    assert not report.skipped


@settings(max_examples=60, deadline=None)
@given(networks(), st.integers(0, 3), st.integers(0, 10**6), st.sampled_from([1e-5, 1e-3, 0.1, 1.0, -2.0]))
def test_one_entry_that_is_off_is_found_where_it_is(network, which, place, change):
    """An error of 1e-5 of the largest entry, in one entry: the others are not blamed."""
    forward, right, args = network

    def backward(dy, *args):
        gradients = list(right(dy, *args))
        gradients[which] = gradients[which].copy()
        flat = gradients[which].reshape(-1)
        flat[place % flat.size] += change * np.abs(flat).max()
        return tuple(gradients)

    names = ("x", "W", "b", "V")
    y, own = forward(*args), args[which]
    size = np.abs(right(np.ones(y.shape), *args)[which]).max()
    if size * np.abs(own).max() < 1e-6 * np.abs(y).max():  # it drowns in the output's rounding
        return
    report = check(forward, backward, args, names=names)
    assert report.verdict == {name: WRONG if name == names[which] else AGREE for name in names}, str(report)
    assert report.worst.argument == names[which]
    assert report.worst.index == np.unravel_index(place % args[which].size, args[which].shape)
    assert len(str(report).splitlines()) <= 15 and all(len(line) <= 120 for line in str(report).splitlines())


@settings(max_examples=30, deadline=None)
@given(networks(), st.sampled_from(["shape", "missing", "nan", "float32"]), st.sampled_from([0, 2, 3]))
def test_what_cannot_be_a_gradient_is_a_finding(network, kind, which):
    forward, right, args = network

    def backward(dy, *args):
        gradients = list(right(dy, *args))
        if kind == "missing":
            return tuple(gradients[:which])
        broken = {"shape": gradients[which][None], "nan": gradients[which] * np.nan,
                  "float32": gradients[which].astype("float32")}  # fmt: skip
        gradients[which] = broken[kind]
        return tuple(gradients)

    report = check(forward, backward, args)
    assert not report.ok and report.findings
    said = {"shape": "has shape", "missing": "gradients for 4 arguments", "nan": "not finite",
            "float32": "is float32, wanted float64"}  # fmt: skip
    assert any(said[kind] in finding for finding in report.findings), report.findings
    with pytest.raises(AssertionError, match="gradcheck: WRONG"):
        report.assert_ok()


def test_the_seed_decides_and_dy_is_neither_ones_nor_x():
    seen = []
    backward = lambda dy, x: (seen.append(dy) or 2 * x * dy,)
    x = np.random.default_rng(0).standard_normal((3, 4))
    for seed in (0, 0, 1):
        assert check(lambda x: x * x, backward, x, seed=seed).ok
    firsts = [dy for dy in seen if dy.shape == (3, 4)]
    assert np.ptp(firsts[0]) > 1 and not np.allclose(firsts[0], x)
    once, again = (check(lambda x: x * x, lambda dy, x: (2 * x,), x) for _ in range(2))
    assert str(once) == str(again)


def test_dy_of_ones_would_hide_a_missing_variance_path():
    """With dy = ones every gradient of a batch norm is 0, and so is one without its variance path."""

    def forward(x):
        return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)

    def backward(dy, x):
        return ((dy - dy.mean(0)) / np.sqrt(x.var(0) + 1e-5),)

    x = rng.standard_normal((5, 3))
    assert np.allclose(backward(np.ones((5, 3)), x)[0], 0)
    assert check(forward, backward, x).overall == WRONG


# ---- scales, offsets, float32 ----------------------------------------------------------------------------


def affine(dy, x, W):
    return dy @ W.T, x.T @ dy


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_scales_and_offsets_raise_no_false_alarm(dtype, scale, offset):
    x, W = ((scale * rng.standard_normal(s) + offset * scale).astype(dtype) for s in ((6, 5), (5, 4)))
    report = check(lambda x, W: np.tanh(x @ W / scale**2 * 1e-8), tanh_affine(scale), (x, W))
    assert report.ok, str(report)
    assert check(lambda x, W: x @ W, affine, (x, W)).ok
    wrong = check(lambda x, W: x @ W, lambda dy, x, W: (affine(dy, x, W)[0], x.T @ dy / 6), (x, W))
    assert wrong.verdict == {"x": AGREE, "W": WRONG}, str(wrong)


def tanh_affine(scale):
    def backward(dy, x, W):
        factor = 1e-8 / scale**2
        dz = dy * (1 - np.tanh(x @ W * factor) ** 2) * factor
        return dz.astype(x.dtype) @ W.T, x.T @ dz.astype(x.dtype)

    return backward


@pytest.mark.parametrize("length", [10, 1000, 100_000])
def test_float32_is_judged_by_a_bound_that_follows_the_reduction_length(length):
    """A float32 sum, one addition after the other, is right however long it is; one in half precision never is."""
    x = rng.uniform(0.5, 1, (1, length)).astype("float32")
    W = rng.standard_normal((length, 1)).astype("float32")
    forward = lambda x, W: x @ W
    one_by_one = lambda dy, x, W: (dy @ W.T, x.T @ dy)
    assert check(forward, one_by_one, (x, W), directions=2).ok
    x, b = rng.standard_normal((length, 2)).astype("float32"), np.zeros(2, "float32")
    summed = lambda dy, x, b: (dy, np.add.accumulate(dy, 0)[-1])
    report = check(lambda x, b: x + b, summed, (x, b), only=["b"])
    assert report.ok, str(report)
    half = lambda dy, x, b: (dy, dy.sum(0).astype("float16").astype("float32"))
    assert check(lambda x, b: x + b, half, (x, b), only=["b"]).overall == WRONG


def test_float32_code_is_also_run_in_float64():
    """An error that hides in float32's rounding shows in the float64 run of the same code."""
    x, W = rng.standard_normal((6, 5)).astype("float32"), rng.standard_normal((5, 4)).astype("float32")
    report = check(lambda x, W: x @ W, lambda dy, x, W: (dy @ W.T * (1 + 1e-8), x.T @ dy), (x, W))
    assert report.verdict == {"x": WRONG, "W": AGREE}, str(report)


def test_an_error_that_only_float32_code_has_is_found():
    """The tolerance of the float32 run is rounding's, not that of a loss of thousands over small weights."""
    x, W = rng.standard_normal((16, 100)).astype("float32"), rng.standard_normal((100, 50)).astype("float32") / 30
    loss = lambda W: (np.tanh(x @ W) ** 2).sum()

    def grad(W, factor=1.01):
        y = np.tanh(x @ W)
        return x.T @ (2 * y * (1 - y * y)) * (np.float32(factor) if W.dtype == "float32" else 1)

    report = check(loss, lambda W: grad(W), W, directions=4)
    assert report.overall == WRONG and "agrees in float64, but its error in float32" in report.findings[0], str(report)
    assert check(loss, lambda W: grad(W, 1), W, directions=4).ok


# ---- kinks, ties, jumps ----------------------------------------------------------------------------------


def test_kinks_are_skipped_reported_or_failed_as_the_caller_says():
    x = np.array([-1.0, 0.0, 2.0, 0.0])
    relu, right = lambda x: np.maximum(x, 0), lambda dy, x: (dy * (x > 0),)
    report = check(relu, right, x)
    assert report.ok and [s.index for s in report.skipped] == [(1,), (3,)]
    for skipped in report.skipped:  # the slopes of the two sides, times dy
        assert min(abs(skipped.left), abs(skipped.right)) < 1e-9 < max(abs(skipped.left), abs(skipped.right))
    assert "2 entries at a kink, such as x[1], slopes" in str(report)
    for half in (0.0, 0.5, 1.0):  # any subgradient is as good as another
        subgradient = lambda dy, x, half=half: (dy * ((x > 0) + half * (x == 0)),)
        assert all(check(relu, subgradient, x, kinks=kinks).ok for kinks in ("skip", "report", "fail"))
    outside = lambda dy, x: (dy * ((x > 0) + 3 * (x == 0)),)
    assert check(relu, outside, x).ok
    reported = check(relu, outside, x, kinks="report")
    assert reported.verdict == {"x": AGREE} and "is not between the slopes at its kink" in reported.findings[0]
    assert check(relu, outside, x, kinks="fail").verdict == {"x": WRONG}
    with pytest.raises(ValueError, match="kinks is 'no'"):
        check(relu, right, x, kinks="no")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.floats(-9, 0))
def test_near_a_kink_the_slope_of_the_side_counts(seed, at, exponent):
    """Entries 1e-9 to 1 away from a kink: the right gradient is never wrong, and the other side's never agrees."""
    x = np.random.default_rng(seed).uniform(0.5, 1, 5)
    x[at] = 10.0**exponent
    assert check(lambda x: np.abs(x), lambda dy, x: (dy * np.sign(x),), x).overall != WRONG
    wrong = check(lambda x: np.abs(x), lambda dy, x: (dy * np.where(np.arange(5) == at, -1, 1),), x)
    assert not wrong.ok or wrong.skipped or "1 unresolved" in str(wrong)


def test_ties_of_a_maximum_are_no_error():
    """Half to each, all to the first, all to the last: at a tie each is a gradient of its own kind."""
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [5.0, 1.0, 0.0]])
    forward = lambda x: x.max(1)
    first = lambda dy, x: (dy[:, None] * (np.arange(3) == x.argmax(1)[:, None]),)
    tied = lambda x: x == x.max(1, keepdims=True)
    share = lambda dy, x: (dy[:, None] * tied(x) / tied(x).sum(1)[:, None],)
    for backward in (first, share):
        report = check(forward, backward, x, kinks="fail")
        assert report.ok and len(report.skipped) == 5, str(report)
    everything = lambda dy, x: (np.broadcast_to(dy[:, None], x.shape).copy(),)
    assert check(forward, everything, x).overall == WRONG  # the last row has no tie


def test_an_argument_without_axes_is_checked():
    g, v = np.array(0.0), rng.standard_normal(3)
    report = check(lambda g, v: np.abs(g) * v, lambda dy, g, v: ((dy * v).sum() * np.sign(g), np.abs(g) * dy), (g, v))
    assert report.verdict == {"g": UNRESOLVED, "v": AGREE} and report.skipped[0].index == ()
    assert check(lambda g, v: g * v, lambda dy, g, v: ((dy * v).sum(), g * dy), (g + 1.7, v)).ok


def test_a_median_with_three_equal_numbers_is_no_error():
    x = np.array([1.0, 1.0, 1.0, 0.0, 5.0])
    backward = lambda dy, x: (dy * (np.arange(5) == np.argsort(x, kind="stable")[2]),)
    assert check(np.median, backward, x).overall != WRONG


def test_jumps_are_not_judged_and_between_them_the_slope_is_zero():
    x = np.array([0.5, 1.0, -0.3])
    report = check(np.floor, lambda dy, x: (0 * dy,), x)
    assert report.overall == AGREE and "2 of 3 entries agree; 1 unresolved" in str(report)
    assert check(np.floor, lambda dy, x: (dy,), x).overall == WRONG  # a straight-through estimator is no gradient


def test_a_complex_step_that_is_silently_wrong_is_not_believed():
    """abs, conj and real throw imaginary parts away, or turn them: the complex step says 0, or the wrong sign."""
    x = rng.standard_normal(6)
    twice = lambda x: 2 * x
    for f, slope in ((np.abs, np.sign), (lambda x: np.abs(x) * x, lambda x: 2 * np.abs(x)),
                     (lambda x: np.real(x) * x, twice), (lambda x: x * np.conj(x), twice)):  # fmt: skip
        report = check(f, lambda dy, x, slope=slope: (dy * slope(x),), x)
        assert report.ok, str(report)
        blind = check(f, lambda dy, x, f=f: (dy * f(x + 1e-20j).imag / 1e-20,), x)
        assert blind.overall == WRONG


def test_what_has_no_derivative_is_unresolved_and_never_agrees():
    noisy = lambda x: x + 1e-3 * np.sin(1e9 * x)
    report = check(noisy, lambda dy, x: (dy,), rng.standard_normal(4))
    assert report.overall == UNRESOLVED, str(report)
    x = np.array([0.0, 0.0])
    assert check(np.abs, lambda dy, x: (0 * dy,), x).overall == UNRESOLVED  # nothing but kinks


# ---- directions, speed, import ---------------------------------------------------------------------------


def test_directions_judge_a_network_of_a_million_parameters():
    """Four layers of 512 x 512 at a batch of 32: right gradients agree, a factor of 1.001 in one layer is found."""
    weights = [rng.standard_normal((512, 512)) / 512**0.5 for _ in range(4)]
    x = rng.standard_normal((32, 512))

    def forward(*weights):
        h = x
        for W in weights:
            h = np.tanh(h @ W)
        return (h**2).mean()

    def backward(*weights, factor=1.0):
        hidden = [x]
        for W in weights:
            hidden.append(np.tanh(hidden[-1] @ W))
        d, gradients = 2 * hidden[-1] / hidden[-1].size, []
        for W, below, above in zip(weights[::-1], hidden[-2::-1], hidden[:0:-1], strict=True):
            d = d * (1 - above**2)
            gradients.append(below.T @ d)
            d = d @ W.T
        gradients[1] = gradients[1] * factor
        return tuple(gradients[::-1])

    start = time.process_time()
    report = check(forward, backward, weights, directions=2, names=("W1", "W2", "W3", "W4"))
    assert report.ok, str(report)
    assert sum(W.size for W in weights) > 1e6 and time.process_time() - start < 20
    wrong = check(forward, lambda *w: backward(*w, factor=1.001), weights, directions=2, names=("W1", "W2", "W3", "W4"))
    assert [name for name, verdict in wrong.verdict.items() if verdict == WRONG] == ["W3"], str(wrong)


def test_json_holds_what_the_report_says():
    import json

    report = check(lambda x: x * x, lambda dy, x: (np.full_like(x, np.nan),), np.ones(2))
    read = json.loads(report.to_json())
    assert read["overall"] == WRONG and read["worst"]["yours"] == "nan" and read["verdict"] == {"x": "WRONG"}
    assert not report and repr(report).startswith("<WRONG x")


def test_a_call_that_cannot_be_checked_says_what_to_do():
    with pytest.raises(TypeError, match="there are no arguments to check at"):
        check(lambda x: x)
    with pytest.raises(TypeError, match="no argument holds floating-point numbers"):
        check(lambda x: x, lambda dy, x: (dy,), np.arange(3))
    with pytest.raises(TypeError, match="2 names"):
        check(lambda x: x, lambda dy, x: (dy,), np.ones(3), names=("x", "W"))
    with pytest.raises(ValueError, match="only names z"):
        check(lambda x: x, lambda dy, x: (dy,), np.ones(3), only=["z"])


# ---- what once passed for right --------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 4, 5, 6, 8, 10])
def test_a_function_whose_period_is_a_power_of_2_does_not_look_flat(k):
    x, w = np.random.default_rng(k).standard_normal(4), 2.0**k * np.pi
    f = lambda x: np.sin(w * x)
    assert check(f, lambda dy, x: 0 * dy, x).overall == WRONG
    assert check(f, lambda dy, x: dy * w * np.cos(w * x), x).overall == AGREE


def test_a_few_entries_that_cannot_be_resolved_do_not_hide_a_gradient_that_is_far_off():
    rough = np.array([0.0, 0, 0, 1, 1])
    f = lambda x: x + 1e-7 * rough * np.sin(1e12 * x)
    x = np.random.default_rng(0).standard_normal(5)
    assert check(f, lambda dy, x: dy * (1 + 1e6 * rough), x).overall == UNRESOLVED


def test_a_function_that_returns_a_number_of_python():
    x = np.random.default_rng(0).standard_normal(3)
    assert check(lambda x: float((x**2).sum()), lambda x: 2 * x, x).ok
    assert check(lambda x: float((x**2).sum()), lambda x: 3 * x, x).overall == WRONG


@pytest.mark.parametrize("shape", [(), (2,), (1, 3)])
def test_kinks_of_a_gradient_of_another_shape(shape):
    report = check(lambda x: np.maximum(x, 0), lambda dy, x: np.ones(shape), np.array([0.0, 1.0, -1.0]), kinks="report")
    assert report.overall == WRONG and any("has shape" in text for text in report.findings)


def test_ridders_where_large_steps_leave_the_domain():
    with np.errstate(invalid="ignore"):
        slope, error = ridders(np.log, np.array(0.05), 1.0)
    assert abs(slope - 20) < 1e-8 and error < 1e-8
