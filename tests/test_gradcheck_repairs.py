"""A cause that is a line of your code: found in functions, methods and layers, and at no cost to them."""

import contextlib
import multiprocessing
import os
import time
import types

import gradcheck_plant
import numpy as np
import pytest
from gradcheck_switch import planted_lines, without_switch

from scratchgan.gradcheck import check, check_second
from scratchgan.gradcheck.causes import apart, search
from scratchgan.gradcheck.causes.code import functions_of
from scratchgan.layers import Dense

rng = np.random.default_rng(8)
X, W, B = rng.standard_normal((6, 4)), rng.standard_normal((4, 3)), rng.standard_normal(3)
CONSTANT = np.array([1.0, 2.0, 3.0])


@pytest.fixture(autouse=True)
def time_enough(monkeypatch):
    """A machine with much else to do must not change what is found."""
    monkeypatch.setattr(search, "SECONDS", 20.0)


def edits(*args, **options):
    return [cause.text for cause in check(*args, **options).causes if cause.kind == "edit"]


def dense(x, W, b):
    return np.tanh(x @ W + b) * CONSTANT


def slope_without_square(dy, x, W, b):
    y = np.tanh(x @ W + b)
    dz = dy * CONSTANT * (1 - y)
    return dz @ W.T, x.T @ dz, dz.sum(0)


def test_one_line_for_all_arguments():
    report = check(dense, slope_without_square, (X, W, B))
    (cause,) = [cause for cause in report.causes if cause.kind == "edit"]
    line = slope_without_square.__code__.co_firstlineno + 1
    assert cause.exact and cause.text == (
        f"x, W, b are right once line {line} of slope_without_square has"
        " `np.tanh(x @ W + b) ** 2` for `np.tanh(x @ W + b)`"
    )


def test_the_code_is_what_it_was_afterwards():
    before, scope = slope_without_square.__code__, {*slope_without_square.__globals__}
    check(dense, slope_without_square, (X, W, B))
    assert slope_without_square.__code__ is before and {*slope_without_square.__globals__} == scope
    assert CONSTANT.flags.writeable and np.array_equal(CONSTANT, [1, 2, 3])


class Layer:
    def __init__(self):
        self.W, self.dW = W.copy(), np.zeros_like(W)

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dy):
        self.dW = self.x.T @ dy / len(dy)
        return dy @ self.W.T


def test_a_method_of_an_object():
    report = check(Layer(), X)
    assert report.causes[0].kind == "scale"
    assert "`self.x.T @ dy` for `self.x.T @ dy / len(dy)`" in report.causes[1].text


class Twice(Dense):
    def accumulate(self, x, dy):
        self.W.accumulate(x.T @ dy)
        self.b.accumulate(dy.sum(0) * 2)


def test_a_layer_of_scratchgan():
    found = [cause for cause in check(Twice(4, 3, rng=rng).astype("float64"), X).causes if cause.kind == "edit"]
    assert len(found) == 1 and "of accumulate" in found[0].text and "dy.sum(0)" in found[0].text


def test_a_lambda():
    (text,) = edits(np.square, lambda dy, x: dy * x, (X,))
    assert "`2 * (dy * x)` for `dy * x`" in text and " of lambda has" in text


def test_a_helper_of_backward():
    def slope(y):
        return y * (1 + y)

    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    found = edits(sigmoid, lambda dy, x: dy * slope(sigmoid(x)), (X,))
    assert len(found) == 1 and "of slope" in found[0] and "`y * (1 - y)`" in found[0]


def test_a_statement_that_overwrites():
    rows = np.array([0, 2, 0, 1])

    def backward(dy, E):
        dE = np.zeros_like(E)
        for i, row in enumerate(rows):
            dE[row] = dy[i]
        return dE

    (text,) = edits(lambda E: E[rows], backward, (X,))
    assert "`dE[row] = dE[row] + dy[i]`" in text or "add.at" in text


def normed(x, epsilon=0.1, count=5):
    centred = x - x.mean(1, keepdims=True)
    return centred / np.sqrt((centred**2).sum(1, keepdims=True) / count + epsilon)


def normed_grad(dy, x, epsilon, count):
    centred = x - x.mean(1, keepdims=True)
    std = np.sqrt((centred**2).sum(1, keepdims=True) / count + epsilon)
    h = centred / std
    return (dy - dy.mean(1, keepdims=True) - h * (dy * h).mean(1, keepdims=True)) / std


def test_another_count_in_a_norm():
    """A mistake in a number shows in no place of the gradient, and in one line of the code."""

    def backward(dy, x):
        count = 4
        return normed_grad(dy, x, 0.1, count)

    (text,) = edits(normed, backward, (rng.standard_normal((3, 5)),))
    assert text.endswith("of backward has `5` for `4`") or "`count = 5` for `count = 4`" in text or "+ 1" in text, text


def test_a_loss_lacks_the_weight_of_each_sample():
    w, target = rng.uniform(0.5, 2, 6), rng.standard_normal((6, 4))
    loss = lambda x, w: (w[:, None] * (x - target) ** 2).sum() / 2

    def backward(x, w):
        return x - target, ((x - target) ** 2).sum(1) / 2

    (text,) = edits(loss, backward, (X, w))
    assert "w[:, None]" in text and text.startswith("x is right once")


def test_two_mistakes_in_two_gradients_have_a_line_each():
    backward = lambda dy, x, W, b: (
        -dy @ W.T,
        x.T @ dy,
        dy.mean(0),
    )
    found = edits(lambda x, W, b: x @ W + b, backward, (X, W, B))
    assert len(found) == 2 and found[0][0] != found[1][0]


def test_second_order_has_lines_too():
    first = lambda dy, x: dy * (1 - np.tanh(x) ** 2)

    def double(ddx, dy, x):
        y = np.tanh(x)
        return ddx * (1 - y**2), -ddx * dy * y * (1 - y**2)

    report = check_second(first, double, (rng.standard_normal((3, 2)), rng.standard_normal((3, 2))))
    assert any(cause.kind == "edit" and "of double" in cause.text for cause in report.causes), report.causes


def test_what_is_chance_at_these_arguments_is_no_cause():
    """Where every x is 3, x^2 is 1.5 times 2 x: such a change does not last at other arguments."""
    found = edits(lambda x: x * x, lambda dy, x: (dy * x * x,), (np.full(8, 3.0),))
    assert found and not any("1.5" in text for text in found), found


def test_a_changed_program_cannot_spoil_what_outlives_it():
    """Changed code runs in a copy of the process."""
    kept = CONSTANT.copy()

    def backward(dy, x):
        total = CONSTANT
        total = total + 1
        dx = dy * total
        dx[0] += 1
        return dx

    check(lambda x: x * (CONSTANT + 1), backward, (X[:, :3],))
    assert np.array_equal(CONSTANT, kept)


def dies(say):
    say("said before")
    os.abort()


def hangs(say):
    say("said before")
    time.sleep(60)


def takes_all_memory(say):
    with contextlib.suppress(MemoryError):
        say(len(bytes(2 * apart.ROOM)))
    say("said before")


def raises(say):
    say("said before")
    print("printed in the copy")
    raise ValueError


@pytest.mark.parametrize("work", (dies, hangs, takes_all_memory, raises))
def test_a_copy_of_the_process_may_do_anything(work, capfd):
    start = time.monotonic()
    assert apart.apart(work, start + 2) == ["said before"]
    assert time.monotonic() - start < 10 and capfd.readouterr() == ("", "")


def test_a_system_that_cannot_copy_a_process_has_the_other_causes(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: 1 / 0 if method != "fork" else no_such(method))
    (cause, *_) = check(lambda x: 1 * x, lambda dy, x: -dy, (X,)).causes
    assert cause.kind == "sign" and cause.exact


def no_such(method):
    raise ValueError(f"cannot find context for {method!r}")


def test_a_function_that_could_do_harm_is_left_alone(tmp_path):
    path = tmp_path / "log"

    def backward(dy, x):
        with open(path, "a") as file:
            file.write("called")
        return -dy

    assert not [text for text in edits(lambda x: 1 * x, backward, (X,)) if "of backward" in text]


def test_code_without_a_source_has_the_causes_of_its_numbers():
    space = {}
    exec("def backward(dy, x):\n    return -dy", space)
    (cause, *_) = check(lambda x: 1 * x, space["backward"], (X,)).causes
    assert cause.kind == "sign" and cause.exact
    assert "backward" not in [f.name for f in functions_of(lambda: space["backward"](X, X))]


# ---- the banks -------------------------------------------------------------------------------------------


def switched(dy, x, bug=""):
    scale = 2 if bug == "two" else 1
    if bug == "sign":
        dx = -dy * scale
    else:
        dx = dy * scale
    if bug == "early":
        return dx
    unused = x * dx if bug == "none" else x
    return dx * unused


def test_a_bank_shows_a_bug_as_a_person_would_have_written_it():
    made, lines = without_switch(switched, {"bug": "sign"}, {"bug": ""})
    assert isinstance(made, types.FunctionType) and lines == {3}
    text = "".join(gradcheck_plant.linecache.getlines(made.__code__.co_filename))
    assert "bug" not in text and "dx = -dy * scale" in text and "if" not in text
    made, lines = without_switch(switched, {"bug": "early"}, {"bug": ""})
    assert "unused" not in "".join(gradcheck_plant.linecache.getlines(made.__code__.co_filename)) and lines
    assert planted_lines("a\nx\nb", "a\nb") == {2} and planted_lines("a\nb", "a\nx\nb") == {1, 2}


@pytest.mark.parametrize("name", [name for name in gradcheck_plant.every_bank() if "first" not in name])
def test_a_bug_without_its_switch_computes_the_same(name):
    """Both versions of every bug, on its own arguments, in every bank that has a switch."""
    bank = __import__(name)
    seen = 0
    for case in bank.PLANTED:
        switch = getattr(case.backward, "switched", None)
        if switch is not None:
            ours, theirs = (gradcheck_plant.gradients(case, f) for f in (case.backward, switch))
            assert {*ours} == {*theirs} and all(gradcheck_plant.same(ours[n], theirs[n]) for n in ours), case.name
            seen += 1
    assert seen or name == "gradcheck_held_out"
