"""The strict stand-in for CuPy itself: what it refuses, what it takes, and what it counts."""

import copy
import json
import math

import numpy as np
import pytest
from cupy_snapshot import SNAPSHOT, take

from scratchgan import xp
from scratchgan.tools.strict import strict_xp

HOST = np.ones(3)
REFUSED = {
    # NumPy and the array
    "numpy.exp": (lambda x: np.exp(x), TypeError, "write xp.exp"),
    "numpy.sum": (lambda x: np.sum(x), TypeError, "write xp.sum"),
    "numpy.concatenate": (lambda x: np.concatenate([x, x]), TypeError, "write xp.concatenate"),
    "numpy.asarray": (lambda x: np.asarray(x), TypeError, r"xp.to_host\(x\)"),
    # operands of the host
    "array + host": (lambda x: x + HOST, TypeError, r"add .* xp.to_device\(x\)"),
    "host + array": (lambda x: HOST + x, TypeError, "add"),
    "array += host": (lambda x: x.__iadd__(HOST), TypeError, "add"),
    "host += array": (lambda x: HOST.copy().__iadd__(x), TypeError, "add"),
    "array + list": (lambda x: x + [1, 2, 3], TypeError, "add"),
    "array > host": (lambda x: x > HOST, TypeError, "greater"),
    "array @ host": (lambda x: x @ HOST, TypeError, "matmul"),
    "a host array without axes": (lambda x: x * np.array(2.0), TypeError, "multiply"),
    "xp.maximum": (lambda x: strict_xp.maximum(x, HOST), TypeError, "maximum"),
    "xp.exp of a list": (lambda x: strict_xp.exp([1.0]), TypeError, "exp"),
    "xp.sum of the host": (lambda x: strict_xp.sum(HOST), TypeError, "sum"),
    "xp.stack": (lambda x: strict_xp.stack([x, HOST]), TypeError, "of the host"),
    "xp.where": (lambda x: strict_xp.where(x > 0, x, HOST), TypeError, "of the host"),
    "x.dot": (lambda x: x.dot(HOST), TypeError, "of the host"),
    "x[...] = host": (lambda x: x.__setitem__(..., HOST), TypeError, "= value was given"),
    "x[...] = list": (lambda x: x.__setitem__(..., [1, 2, 3]), TypeError, "= value was given"),
    "x.set of another dtype": (lambda x: x.set(np.ones(3, "float32")), ValueError, "float64"),
    # names and keywords
    "where= of a ufunc": (lambda x: strict_xp.exp(x, where=x > 0), TypeError, "unexpected keyword argument 'where'"),
    "where= of a reduction": (lambda x: x.sum(where=x > 0), TypeError, r"in CuPy 14.* it is x.sum\(axis=, dtype="),
    "initial= of a reduction": (lambda x: strict_xp.max(x, initial=0), TypeError, "initial"),
    "clip(min=)": (lambda x: strict_xp.clip(x, min=0), TypeError, "a_min"),
    "einsum(out=)": (lambda x: strict_xp.einsum("i->i", x, out=x), TypeError, "out"),
    "a keyword of a method": (lambda x: x.argmax(keepdim=True), TypeError, "keepdim"),
    **{name: (lambda x, name=name: getattr(strict_xp, name), AttributeError, f"CuPy 14.* has no '{name}'")
       for name in ("errstate", "insert", "block", "unstack", "vecdot", "matvec", "numpy", "nditer")},
    "linalg.vector_norm": (lambda x: strict_xp.linalg.vector_norm, AttributeError, "vector_norm"),
    "maximum.reduce": (lambda x: strict_xp.maximum.reduce, AttributeError, "reduce"),
    "add.at": (lambda x: strict_xp.add.at, AttributeError, "at"),
    "x.setflags": (lambda x: x.setflags, AttributeError, "setflags"),
    "RawKernel": (lambda x: strict_xp.RawKernel, AttributeError, "RawKernel"),
    **{f"Generator.{name}": (lambda x, name=name: getattr(strict_xp.random.default_rng(0), name), AttributeError, name)
       for name in ("normal", "permutation", "shuffle", "choice", "spawn")},
    "text": (lambda x: strict_xp.asarray(np.array(["a"])), ValueError, "<U1"),
    # indices
    "out of bounds": (lambda x: x[strict_xp.asarray([0, 3])], IndexError, "out of bounds"),
    "take out of bounds": (lambda x: x.take(strict_xp.asarray([3])), IndexError, "out of bounds"),
    "written out of bounds": (lambda x: x.__setitem__([3], 0.0), IndexError, "out of bounds"),
    "written twice": (lambda x: x.__setitem__(strict_xp.asarray([1, 1]), x[:2]), ValueError, "twice"),
    "added twice": (lambda x: x.__setitem__([-1, 2], x[[-1, 2]] + 1), ValueError, "twice"),
    "range": (lambda x: range(strict_xp.asarray(3)), TypeError, "integer"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case):
    attempt, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        attempt(strict_xp.asarray(np.arange(3.0)))


IDIOMS = {
    "numbers": lambda xp, x: 2 * x**2 - x / 3 + 1.5 - (-x) // 2 + abs(x) % 2,
    "NumPy's numbers": lambda xp, x: np.float64(2) * x + x * np.float64(3) - (np.int64(1) > x),
    "in place": lambda xp, x: xp.multiply(x.__iadd__(1), x, out=x),
    "reductions": lambda xp, x: x.sum() + x.mean(0) + x.max(-1, keepdims=True) + xp.std(x) + x.var(ddof=1),
    "indices": lambda xp, x: x[1:, None, ::-1] + x[..., 0, 0] + x[[0, 1]][:, xp.asarray([2, 0, 1])][1],
    "masks": lambda xp, x: xp.where(x > 0, x, 0) + x[x > 0].sum() + (x * (x > 0)),
    "a mask written to": lambda xp, x: [x.__setitem__(x > 1, 0), x.__setitem__(x < 0, -x[x < 0]), x][2],
    "rows written to": lambda xp, x: [x.__setitem__(xp.asarray([2, 0]), x[:2] + 1), x][1],
    "an overlap": lambda xp, x: [x.__setitem__(slice(1, None), x[:-1]), x][1],
    "shapes": lambda xp, x: xp.concatenate([x.T.reshape(-1, 3), xp.broadcast_to(x[:, :1], (3, 3))], axis=-1).ravel(),
    "strides": lambda xp, x: xp.lib.stride_tricks.as_strided(x, (2, 3), (x.strides[0], x.strides[1])) + 0,
    "products": lambda xp, x: x @ x.T + xp.tensordot(x, x, axes=1) + xp.einsum("ij,kj->ik", x, x),
    "choices": lambda xp, x: xp.take_along_axis(x, x.argmax(0)[None], 0) + xp.argsort(x, axis=1)[:, ::2][:, :1],
    "pad, split, stack": lambda xp, x: xp.stack(xp.split(xp.pad(x, ((0, 0), (1, 2))), 3, axis=1)),
    "linear algebra": lambda xp, x: xp.linalg.svd(x)[1] + xp.linalg.norm(x) + xp.linalg.inv(x + 9 * xp.eye(3)).sum(),
    "made like another": lambda xp, x: xp.zeros_like(x) + xp.full(3, 2.5) + xp.arange(3) + xp.linspace(0, 1, 3),
    "dtypes": lambda xp, x: x.astype("float32") * 2 + xp.ones(3, xp.float32) * xp.asarray(0.5, dtype=xp.float32),
    "without axes": lambda xp, x: x.sum() * 2.0 + xp.float32(1),
    "comparison": lambda xp, x: xp.allclose(x, x) & xp.isfinite(x).all() | xp.array_equal(x, x + 1),
    "a sum of a list": lambda xp, x: sum([x, x, x]),
    "complex": lambda xp, x: (x + 1j * x).real.sum() + (x + 1j).conj().imag,
}  # fmt: skip


@pytest.mark.parametrize("name", IDIOMS)
def test_takes(name):
    """What CuPy takes, with NumPy's result: value, shape and dtype."""
    host = np.random.default_rng(0).standard_normal((3, 3))
    device = strict_xp.asarray(host)
    found, expected = IDIOMS[name](strict_xp, device), np.asarray(IDIOMS[name](np, host))
    assert isinstance(found, strict_xp.ndarray)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found.get(), expected, rtol=1e-13)


def test_memory_is_shared_with_nobody_on_the_host():
    host = np.zeros(3)
    x = strict_xp.asarray(host)
    x += 1
    x.get()[0] = 5
    assert host.sum() == 0 and x.get().tolist() == [1, 1, 1]
    assert strict_xp.asarray(x) is x and copy.deepcopy(x) is not x
    x.set(host)
    assert float(x.sum()) == 0


def test_one_element_is_a_view():
    """As with CuPy; NumPy copies it."""
    x = strict_xp.zeros((2, 2))
    one = x[1, 1]
    one += 5
    assert one.shape == () and float(x.sum()) == 5


# ---- what is counted -------------------------------------------------------------------------------------

WAITS = {
    "float()": float, "int()": int, "bool()": bool, "complex()": complex, "item()": lambda x: x.item(),
    "tolist()": lambda x: x.tolist(), "get()": lambda x: xp.to_host(x), "repr()": repr, "str()": str,
    "format()": lambda x: f"{x:.3f}", "x[mask]": lambda x: x[x > 0],
    "x[mask] = 0": lambda x: x.__setitem__(x > 0, 0), "nonzero()": lambda x: x[None].nonzero(),
    "where()": lambda x: strict_xp.where(x[None]), "unique()": lambda x: strict_xp.unique(x),
    "float() in math": lambda x: math.sqrt(x), "bool() in max": lambda x: max(x, 0),
    "bool() in if": lambda x: 1 if x else 0,
}  # fmt: skip


@pytest.mark.parametrize("name", WAITS)
def test_waiting_is_counted_and_located(name):
    x = strict_xp.ones(())
    with strict_xp.counting() as counts:
        WAITS[name](x)
    assert counts.synchronisations == 1
    assert any(key.startswith(f"{name.split(' ')[0]} at test_strict.py:") for key in counts.names), counts


def test_operations_and_copies():
    with strict_xp.counting() as outer:
        x = strict_xp.asarray(np.ones((4, 3)))  # a copy
        y = strict_xp.empty((4, 3))  # nothing
        with strict_xp.counting() as counts:
            x.T[1:].reshape(8)  # views, then a copy of numbers on the device
            x.ravel(), strict_xp.split(x, 2), strict_xp.asarray(x), x[0], x.size  # nothing
            x += 1
            strict_xp.matmul(x, x.T)
            strict_xp.exp(x, out=y)
            x[0] = 2
            x[1:, 0] += 1  # one addition, and no copy of the result to where it is
            x.fill(3)
            x[[0, 2]]  # the index is copied from the host
    assert counts.names == {
        "reshape": 1, "add": 2, "matmul": 1, "exp": 1, "copy": 1, "fill": 1, "take": 1, "an index to the device": 1,
    }  # fmt: skip
    assert (counts.operations, counts.copies, counts.synchronisations) == (8, 1, 0)
    assert (outer.operations, outer.copies, outer.synchronisations) == (8, 2, 0)
    assert str(counts).startswith("8 operations, 1 copies, 0 synchronisations\n")
    x.sum()
    assert counts.operations == 8  # the block is closed


def test_random_numbers():
    rng = strict_xp.random.default_rng(0)
    z = rng.standard_normal((2, 3), dtype="float32")
    assert isinstance(z, strict_xp.ndarray) and z.dtype == "float32" and rng.random().shape == ()
    with pytest.raises(TypeError, match="scale"):
        rng.uniform(0, 1, 3, scale=2)


# ---- the snapshot of CuPy --------------------------------------------------------------------------------


def test_the_snapshot_is_of_the_cupy_that_is_installed():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed; `pip install cupy-cuda13x` needs no GPU")
    stored = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    if stored["version"] != cupy.__version__:
        pytest.skip(f"the snapshot is of CuPy {stored['version']}, installed is {cupy.__version__}")
    assert stored == take(cupy)


def test_every_name_of_the_snapshot_is_offered_or_has_no_counterpart_in_numpy():
    stored = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    for path in [*stored["functions"], *stored["same"]]:
        here, there = strict_xp, np
        try:
            for name in path.split("."):
                there = getattr(there, name)
        except AttributeError:
            continue
        for name in path.split("."):
            here = getattr(here, name)
        assert here is not None or path == "newaxis", path
