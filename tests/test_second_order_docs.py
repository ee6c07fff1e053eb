"""The numbers of docs/second-order.md: parsed out of its tables, and recomputed."""

import re
from pathlib import Path

import numpy as np
import pytest

from scratchgan import penalties
from scratchgan.gradcheck import complex_step, ridders
from scratchgan.layers import BatchNorm, Concat, Dense, LeakyReLU, ReLU, Sequential, Tanh

PAGE = (Path(__file__).parents[1] / "docs" / "second-order.md").read_text(encoding="utf-8")
ROUNDING = 0.5000001e-4  # of a number that is printed to four decimals


def table(heading):
    """Return {first cell: the other cells} of the first table below a heading, without its first two lines."""
    start = PAGE.index(f"\n{heading}\n")
    lines = re.search(r"((?:^\|.*\n)+)", PAGE[start:], re.MULTILINE).group(1).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert len({row[0] for row in rows}) == len(rows) > 0
    return {row[0]: row[1:] for row in rows}


def numbers(cell):
    """Return the numbers of a cell: one, a vector (a, b), or the rows of a matrix (a, b), (c, d)."""
    rows = [[float(number) for number in row.split(",")] for row in re.findall(r"\(([^)]*)\)", cell)]
    if not rows:
        return np.array(float(cell))
    return np.array(rows if len(rows) > 1 else rows[0])


def agrees(cell, value):
    """Assert that a cell holds a value, rounded to four decimals."""
    assert all(len(number.partition(".")[2]) == 4 for number in re.findall(r"-?\d+\.\d+", cell)), cell
    printed, value = numbers(cell), np.squeeze(value)
    assert printed.size == value.size, cell
    assert np.abs(printed.reshape(value.shape) - value).max() <= ROUNDING, f"{cell} is {value}"


def critic(activation):
    """Return the critic of the page's table "Given", with an activation, and its x."""
    given = {name: numbers(cells[0]) for name, cells in table("**Given**").items()}
    D = Sequential(Dense(2, 2, rng=np.random.default_rng(0)), activation, Dense(2, 1, rng=np.random.default_rng(0)))
    first, _, last = D.astype(np.float64).layers
    for param, name in ((first.W, "W₁"), (first.b, "b₁"), (last.W, "W₂"), (last.b, "b₂")):
        param.value[...] = given[name].reshape(param.value.shape)
    return D, given["x"][None]


def sweeps(activation):
    """Return the arrays of each table of the worked example, {heading: {name: array}}, one layer at a time."""
    D, x = critic(activation)
    first, middle, last = D.layers
    a, first_tape = first.forward(x)
    h, middle_tape = middle.forward(a)
    s, last_tape = last.forward(h)
    ds = np.ones_like(s)
    dh, last_kept = last.pull(last_tape, ds)
    da, middle_kept = middle.pull(middle_tape, dh)
    g, first_kept = first.pull(first_tape, da)
    P, v = penalties.norm_distance(g)
    dda, _ = first.double_backward(first_tape, first_kept, v)
    part = first.W.grad.copy()
    ddh, bend = middle.double_backward(middle_tape, middle_kept, dda)
    last.double_backward(last_tape, last_kept, ddh)
    bend = np.zeros_like(a) if bend is None else bend
    at_x = first.backward(first_tape, bend)
    slope, slope_kept = middle.pull(middle_tape, np.ones_like(a))
    curvature = middle.double_backward(middle_tape, slope_kept, np.ones_like(a))[1]
    return D, {
        "**Forward**": {"a": a, "h": h, "s": s},
        "**Sweep 1, down**": {"ds": ds, "dh": dh, "f'(a)": slope, "da": da, "g = dx": g},
        "**The penalty**": {"length of g": np.linalg.norm(g), "P": P, "v = ddx": v},
        "**Sweep 2, up**": {"dP/dW₁, first part": part, "dda": dda, "ddh": ddh, "f''(a)": curvature, "bend": bend,
                            "dP/dW₂": last.W.grad},
        "**Sweep 3, down again**": {"∂P/∂a": bend, "dP/dW₁, second part": first.W.grad - part,
                                    "dP/db₁": first.b.grad, "∂P/∂x": at_x},
        "**The sum**": {"dP/dW₁": first.W.grad, "dP/db₁": first.b.grad, "dP/dW₂": last.W.grad, "dP/db₂": last.b.grad},
    }  # fmt: skip


def differences(activation):
    """Return the gradient of P with respect to each param, by extrapolated differences of first-order code."""
    D, x = critic(activation)
    gradients = []
    for param in D.params():
        before, gradient = param.value.copy(), np.zeros_like(param.value)

        def penalty(value, param=param):
            param.value[...] = value
            score, tape = D.forward(x)
            g, _ = D.pull(tape, np.ones_like(score))
            return penalties.norm_distance(g)[0]

        for index in np.ndindex(before.shape):
            unit = np.zeros_like(before)
            unit[index] = 1
            gradient[index], error = ridders(penalty, before, unit, step=0.01)
            assert error < 1e-7
        param.value[...] = before
        gradients.append(gradient)
    return gradients


def test_what_is_the_gradient_of_a_gradient():
    rows = table("## What is the gradient of a gradient?")
    w1, w2, x = 1.5, 2.0, 0.5
    assert f"w₁ = {w1:g}, w₂ = {w2:g}, x = {x:g}" in PAGE
    h = np.tanh(w1 * x)
    slope = lambda w1: w2 * (1 - np.tanh(w1 * x) ** 2) * w1
    terms = (w2 * (1 - h**2), w2 * w1 * -2 * h * (1 - h**2) * x)
    expected = (h, slope(w1), *terms, complex_step(slope, w1, 1))
    for (cell,), value in zip(rows.values(), expected, strict=True):
        agrees(cell, value)
    assert np.isclose(sum(terms), expected[-1])
    assert f"by a factor of {terms[0] / sum(terms):.0f}." in PAGE


def test_worked_example():
    _, tables = sweeps(Tanh())
    for heading, arrays in tables.items():
        rows = table(heading)
        assert rows.keys() == arrays.keys()
        for name, array in arrays.items():
            agrees(rows[name][-1], array)


def test_formulas_of_the_worked_example():
    """The column "from" of the tables, computed from the printed numbers alone."""
    headings = ("**Given**", *sweeps(Tanh())[1])
    n = {name: numbers(cells[-1]) for heading in headings for name, cells in table(heading).items()}
    slope = n["f'(a)"]
    for name, value in {
        "a": n["x"] @ n["W₁"] + n["b₁"],
        "s": n["h"] @ n["W₂"],
        "dh": n["W₂"][:, 0],
        "f'(a)": 1 - n["h"] ** 2,
        "da": slope * n["dh"],
        "g = dx": n["da"] @ n["W₁"].T,
        "v = ddx": 2 * (n["length of g"] - 1) * n["g = dx"] / n["length of g"],
        "dP/dW₁, first part": np.outer(n["v = ddx"], n["da"]),
        "dda": n["v = ddx"] @ n["W₁"],
        "ddh": slope * n["dda"],
        "f''(a)": -2 * n["h"] * slope,
        "bend": n["f''(a)"] * n["dh"] * n["dda"],
        "dP/dW₁, second part": np.outer(n["x"], n["bend"]),
        "∂P/∂x": n["bend"] @ n["W₁"].T,
        "dP/dW₁": n["dP/dW₁, first part"] + n["dP/dW₁, second part"],
    }.items():
        np.testing.assert_allclose(n[name], value.reshape(n[name].shape), atol=5e-4, err_msg=name)


@pytest.mark.parametrize("name, activation", [("tanh", Tanh()), ("ReLU", ReLU())])
def test_without_the_third_sweep(name, activation):
    D, tables = sweeps(activation)
    two, three, by_differences = table("## Without the third sweep")[name]
    agrees(two, tables["**Sweep 2, up**"]["dP/dW₁, first part"])
    agrees(three, D.layers[0].W.grad)
    gradients = differences(activation)
    agrees(by_differences, gradients[0])
    for param, gradient in zip(D.params(), gradients, strict=True):
        np.testing.assert_allclose(param.grad, gradient, rtol=1e-7, atol=1e-7)


def test_batch_statistics():
    *scores, total = table("## Batch statistics do not go with a penalty for each sample").values()
    rng = np.random.default_rng(0)
    D = Sequential(BatchNorm(1), Tanh(), Dense(1, 1, bias=False, rng=rng)).astype(np.float64)
    D.layers[-1].W.value[...] = 2
    x = np.array([[-1.0], [0.0], [2.0]])
    for m in range(3):
        slopes, _ = ridders(lambda x: D.forward(x)[0], x, np.eye(3)[:, m : m + 1])
        for n in range(3):
            agrees(scores[n][m], slopes[n])
    reported = lambda D, x: D.pull(D.forward(x)[1], np.ones((3, 1)))[0]
    for cell, value in zip(total, reported(D, x), strict=True):
        agrees(cell, value)
    moved = x + [[0], [0], [1]]
    assert abs(reported(D, moved)[0] - reported(D, x)[0]) > 0.1  # moving x₃ changes what is reported at x₁
    assert np.allclose(reported(Sequential(D.layers[0], D.layers[2]), x), 0)  # without the tanh every sum is 0


def products(monkeypatch, D, call):
    """Return {Dense layer: [apply, input_grad, weight_grad]}, the times that each was called."""
    counts = {layer: [0, 0, 0] for _, layer in D.named_layers() if isinstance(layer, Dense)}
    with monkeypatch.context() as patch:
        for place, name in enumerate(("apply", "input_grad", "weight_grad")):
            patch.setattr(Dense, name, counting(getattr(Dense, name), counts, place))
        call()
    return list(counts.values())


def counting(method, counts, place):
    """Return a method that does the same, and counts its calls for each layer."""

    def counted(self, *arguments):
        counts[self][place] += 1
        return method(self, *arguments)

    return counted


def chain(activation):
    rng = np.random.default_rng(0)
    return Sequential(Dense(2, 3, rng=rng), activation, Dense(3, 3, rng=rng), activation, Dense(3, 1, rng=rng))


def test_what_it_costs(monkeypatch):
    rows = {name: [int(cell) for cell in cells] for name, cells in table("## What it costs").items()}
    assert all(total == sum(parts) for *parts, total in rows.values())
    linear, above, below, plain = ([*parts] for *parts, _ in rows.values())
    x = np.random.default_rng(0).standard_normal((4, 2), dtype=np.float32)
    ones = np.ones((4, 1), dtype=np.float32)
    penalty = lambda D: lambda: penalties.penalize_gradient(D, x, penalties.norm_distance)
    for D, expected in ((chain(LeakyReLU()), [linear] * 3), (chain(Tanh()), [below, below, above])):
        assert products(monkeypatch, D, penalty(D)) == expected
        assert products(monkeypatch, D, lambda D=D: D.backward(D.forward(x)[1], ones)) == [plain] * 3
        training = products(monkeypatch, D, lambda D=D: D.accumulate(D.forward(x)[1], ones))
        assert training == [[1, 0, 1], plain, plain]  # "2 + 2 + 4": nobody asks for the gradient at the samples


def test_what_chains_in_chains_and_branches_cost(monkeypatch):
    x = np.random.default_rng(0).standard_normal((4, 2), dtype=np.float32)
    last = Dense(3, 1, rng=np.random.default_rng(0))
    # A branch costs what a chain does.
    D = Sequential(Concat(chain(LeakyReLU()), Sequential()), last)
    counts = products(monkeypatch, D, lambda: penalties.penalize_gradient(D, x, penalties.norm_distance))
    assert counts == [[2, 1, 1]] * 4
    # The inner chain brings down its own bends, from its second tanh, and then those of the outer tanh.
    D = Sequential(Sequential(*chain(Tanh()).layers[:4]), Dense(3, 3, rng=np.random.default_rng(0)), Tanh(), last)
    counts = products(monkeypatch, D, lambda: penalties.penalize_gradient(D, x, penalties.norm_distance))
    assert counts == [[2, 3, 3], [2, 3, 3], [2, 2, 2], [2, 1, 1]]
