"""What causes say, and that looking for them can do no harm: it never raises, and it ends in time."""

import time

import numpy as np
import pytest

from scratchgan.gradcheck import Cause, check, check_second
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
    assert time.monotonic() - start < 8
