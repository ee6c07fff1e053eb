"""What causes say, and that looking for them can do no harm: it never raises, and it ends in time."""

import time

import numpy as np
import pytest

from scratchgan.gradcheck import Cause, check, check_second
from scratchgan.gradcheck.causes import search
from scratchgan.gradcheck.causes.search import diagnose
from scratchgan.gradcheck.plain import WRONG, Comparison, Context

rng = np.random.default_rng(5)
x, W, b = rng.standard_normal((6, 4)), rng.standard_normal((4, 3)), rng.standard_normal(3)


def dense(x, W, b):
    return x @ W + b


def causes_of(backward, args=(x, W, b), forward=dense, **options):
    return check(forward, backward, args, names=("x", "W", "b")[: len(args)], **options).causes


def test_an_exact_cause_names_the_product_of_dimensions():
    (cause, *_) = causes_of(lambda dy, x, W, b: (dy @ W.T, x.T @ dy, dy.mean(0)))
    assert cause.kind == "scale" and cause.exact is True
    assert cause.text == (
        "b has a factor 1/6 too many: every entry is 6 times too small (6 is x.shape[0] or y.shape[0])"
    )


def test_a_missing_mean_over_space_names_three_dimensions():
    x = rng.standard_normal((2, 3, 5, 2))
    mean = lambda x: (x * x).sum() / 60
    (cause, *_) = causes_of(lambda dy, x: (dy * 2 * x,), (x,), mean)
    assert "lacks a factor 1/60: every entry is 60 times too large" in cause.text
    assert "x.shape[0] * x.shape[1] * x.shape[2] * x.shape[3]" in cause.text


def test_what_is_not_exact_is_only_consistent():
    """A gradient that is nearly the negative of the right one, or nearly twice as large."""
    for factor in (-1.0, 2.0):
        noise = 1 + 1e-4 * rng.standard_normal(W.shape)
        causes = causes_of(lambda dy, x, W, b, n=noise, f=factor: (dy @ W.T, f * n * (x.T @ dy), dy.sum(0)))
        found = [cause for cause in causes if cause.kind in ("sign", "scale")]
        assert found and not found[0].exact and "consistent with" in found[0].text


def test_every_cause_says_is_or_consistent_with():
    backward = lambda dy, x, W, b: (dy @ W.T + 1, np.sin(x.T @ dy), dy.sum(0) ** 2)
    for cause in causes_of(backward):
        assert isinstance(cause, Cause) and type(cause.exact) is bool and "\n" not in cause.text
        assert cause.exact or cause.kind == "location" or "consistent with" in cause.text


def test_right_gradients_have_no_causes():
    assert causes_of(lambda dy, x, W, b: (dy @ W.T, x.T @ dy, dy.sum(0))) == []


def test_float32_code_gets_its_cause():
    args = tuple(a.astype("float32") for a in (x, W, b))
    (cause, *_) = causes_of(lambda dy, x, W, b: (-dy @ W.T, x.T @ dy, dy.sum(0)), args)
    assert cause.kind == "sign" and cause.exact


def test_projections_show_a_sign_and_a_scale():
    backward = lambda dy, x, W, b: (-dy @ W.T, x.T @ dy / len(x), dy.sum(0))
    kinds = [cause.kind for cause in causes_of(backward, directions=6)]
    assert kinds[:2] == ["sign", "scale"]


def test_exchanged_gradients_of_two_parameters():
    scale = lambda x, g, h: g * x + h
    backward = lambda dy, x, g, h: (dy * g, dy.sum(0), (dy * x).sum(0))
    causes = causes_of(backward, (x, rng.standard_normal(4), rng.standard_normal(4)), scale)
    assert [cause.kind for cause in causes[:2]] == ["exchanged", "exchanged"]


def test_second_order_names_the_bend_and_the_parameter_term():
    first = lambda dy, x, W: (dy * (1 - np.tanh(x @ W) ** 2)) @ W.T

    def double(ddx, dy, x, W):
        y = np.tanh(x @ W)
        return (ddx @ W) * (1 - y**2), 0 * x, 0 * W

    report = check_second(first, double, (rng.standard_normal((6, 3)), x, W), names=("dy", "x", "W"))
    assert {"bend", "parameter-term"} <= {cause.kind for cause in report.causes}


def raising(*args):
    raise RuntimeError("no")


@pytest.mark.parametrize("forward", [raising, None, lambda *a: None, lambda *a: np.full(3, np.nan)])
@pytest.mark.parametrize("backward", [raising, None, lambda *a: None, lambda *a: [object()] * 3, lambda *a: (np.nan,)])
@pytest.mark.parametrize("yours", [np.full((6, 4), np.nan), np.ones((2, 2)), np.array(["a"]), np.zeros((6, 4))])
def test_nothing_makes_it_raise(forward, backward, yours):
    right, error = rng.standard_normal((6, 4)), np.zeros((6, 4))
    comparison = Comparison("x", yours, right, error, np.ones((6, 4), bool), WRONG)
    context = Context((x, W), ("x", "W"), np.ones((6, 3)), np.ones((6, 3)), forward, backward, {"x": comparison})
    assert all(isinstance(cause, Cause) for cause in diagnose(context))
    context.args, context.dy = None, None
    diagnose(context)


def test_slow_code_is_not_asked_for_long():
    def slow(*args):
        time.sleep(0.3)
        return dense(*args)

    right = rng.standard_normal((4, 3))
    yours = right + rng.standard_normal((4, 3))
    comparison = Comparison("W", yours, right, np.zeros((4, 3)), np.ones((4, 3), bool), WRONG)
    backward = lambda dy, *args: (None, yours, None)
    context = Context((x, W, b), ("x", "W", "b"), np.ones((6, 3)), dense(x, W, b), slow, backward, {"W": comparison})
    start = time.monotonic()
    diagnose(context)
    assert time.monotonic() - start < 16


# ---- output by output: what is said where the code cannot be read ----------------------------------------


@pytest.fixture
def unread(monkeypatch):
    monkeypatch.setattr(search.repairs, "edits_of", lambda *args: [])


def first_cause(forward, backward, args, **options):
    """Return the best cause that says more than where the wrong entries are."""
    report = check(forward, backward, args, **options)
    return next(cause for cause in report.causes if cause.kind != "location")


def test_exact_is_what_a_second_look_confirms(unread):
    """Where every x is 3, the slope x^2 is 1.5 times 2 x: the number is chance, and nothing is exact."""
    causes = check(lambda x: x * x, lambda dy, x: (dy * x * x,), np.full(8, 3.0)).causes
    assert causes and not [cause for cause in causes if cause.exact and cause.kind == "scale"]


def test_a_factor_that_is_an_argument_has_its_name(unread):
    gamma = rng.uniform(0.5, 2, 4)
    cause = first_cause(
        lambda x, g: np.sin(x) * g, lambda dy, x, g: (dy * np.cos(x), (dy * np.sin(x)).sum(0)), (x, gamma)
    )
    assert cause.exact and cause.text == "x lacks its factor g"


def test_a_factor_for_each_block_of_outputs_is_listed(unread):
    factors = np.array([1.0, 1.0, 3.0])
    backward = lambda dy, x, W, b: ((dy * factors) @ W.T, x.T @ dy, dy.sum(0))
    cause = first_cause(dense, backward, (x, W, b), names=("x", "W", "b"))
    assert cause.kind == "scale-per-axis" and "3 times the right one at index 2 of axis 1 of y" in cause.text


def test_a_gather_that_overwrites(unread):
    ids = np.array([0, 2, 0, 1, 2])

    def overwritten(dy, W):
        dW = np.zeros_like(W)
        dW[ids] = dy
        return (dW,)

    assert first_cause(lambda W: W[ids], overwritten, rng.standard_normal((4, 3))).kind == "overwritten"


def test_a_jacobian_that_is_not_transposed(unread):
    p = rng.standard_normal((5, 5))
    cause = first_cause(lambda x: p @ np.tanh(x), lambda dy, x: ((1 - np.tanh(x) ** 2) * dy * 0 + p @ dy,), np.zeros(5))
    assert cause.kind == "transposed"


def test_a_sum_over_the_wrong_axis(unread):
    def softmax(x):
        e = np.exp(x)
        return e / e.sum(1, keepdims=True)

    cause = first_cause(softmax, lambda dy, x: (softmax(x) * (dy - (dy * softmax(x)).sum(0)),), x)
    assert cause.kind == "wrong-axes" and "equals the index of axis 1 of x: summed over a wrong axis" in cause.text


def test_a_loss_has_no_dy_that_could_be_ignored(unread):
    target = rng.standard_normal((6, 4))
    for wrong in (lambda x: x - 2 * target, lambda x: np.ones_like(x), lambda x: 2 * x, lambda x: abs(x - target)):
        causes = check(lambda x: ((x - target) ** 2).sum() / 2, lambda x, wrong=wrong: (wrong(x),), x).causes
        assert causes and "upstream-ignored" not in {cause.kind for cause in causes}


def test_a_gradient_that_is_no_gradient_of_anything(unread):
    """A denominator that is taken for a constant leaves a field whose derivative is not symmetric."""
    causes = check(lambda x: (x * x).sum() / np.exp(x).sum(), lambda x: (2 * x / np.exp(x).sum(),), x[0]).causes
    assert any(cause.kind == "detached" and "not the gradient of any function" in cause.text for cause in causes)


def test_what_holds_only_in_this_order_of_the_numbers_is_not_exact(unread):
    """The first three factors are wrong by their place; x is sorted, so they are also those below a bound."""
    factors = np.array([2.0, 2, 2, 1, 1, 1, 1, 1])
    causes = check(lambda x: x * x, lambda dy, x: (dy * 2 * x * factors,), np.linspace(-2, 2.5, 8)).causes
    assert causes and not any(cause.exact for cause in causes)


def test_what_cancels_to_rounding_is_not_called_a_rounded_gradient(unread):
    causes = check(lambda x: 0.1 * np.tanh(x), lambda dy, x: (1e-17 * dy,), x).causes
    assert causes[0].kind == "derivative-missing" and not causes[0].exact


def test_many_axes_do_not_take_for_ever(unread):
    start = time.monotonic()
    check(lambda x: 2 * x, lambda dy, x: (dy.reshape((1,) * 30 + (2,)),), np.ones(2))
    check(lambda x: x * x, lambda dy, x: (dy * x,), rng.standard_normal((1,) * 8 + (3,)))
    assert time.monotonic() - start < 10
