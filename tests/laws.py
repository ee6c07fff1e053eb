"""The laws that every layer obeys, as functions of a layer and an input. `test_laws.py` holds the table of layers.

Every law works on deep copies, so that a layer with a random generator (Dropout) draws the same each time.
"""

import copy

import numpy as np

from scratchgan.gradcheck import check, check_second, complex_step


def inner(a, b):
    """<a, b>, the sum over all elements."""
    return float(np.sum(a * b))


def close(a, b, rtol=1e-10, scale=None):
    """Assert that two arrays agree to rtol of their own largest element (or of `scale`)."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape, f"shapes {a.shape} and {b.shape}"
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0), 1e-3) if scale is None else scale
    worst = np.abs(a - b).max(initial=0)
    assert worst <= rtol * scale, f"differ by {worst:.3g}, of {scale:.3g}"


def run(layer, x):
    """Return forward's y and tape, computed by a copy of the layer, and that copy."""
    layer = copy.deepcopy(layer)
    return *layer.forward(x), layer


def gradients(layer, x, dy):
    """Return (dx, {path: grad}) of one forward and backward."""
    _, tape, layer = run(layer, x)
    dx = layer.backward(tape, dy)
    return dx, {path: param.grad for path, param in layer.named_params().items()}


def in_complex(layer):
    """Return a copy of the layer with complex weights, for complex steps."""
    return copy.deepcopy(layer).astype(np.complex128)


# ---- first order -----------------------------------------------------------------------------------------


def adjoint_in_x(layer, x, rng):
    """<dy, J v> = <J^T dy, v> with J v by a complex step of forward alone."""
    y, _, _ = run(layer, x)
    dy, v = rng.standard_normal(y.shape), rng.standard_normal(x.shape)
    Jv = complex_step(lambda x: run(in_complex(layer), x)[0], x, v)
    dx, _ = gradients(layer, x, dy)
    assert dx.shape == x.shape
    tolerance = 1e-11 * (1 + np.sum(np.abs(dy * Jv)))
    assert abs(inner(dy, Jv) - inner(dx, v)) <= tolerance


def adjoint_in_params(layer, x, rng):
    """<dy, dy/dp v> = <grad of p, v> for every Param p."""
    y, _, _ = run(layer, x)
    dy = rng.standard_normal(y.shape)
    _, grads = gradients(layer, x, dy)
    for path, param in layer.named_params().items():
        v = rng.standard_normal(param.value.shape)

        def forward(value, path=path):
            stepped = in_complex(layer)
            stepped.named_params()[path].value[...] = value
            return stepped.forward(x if x.dtype.kind in "iu" else x.astype(complex))[0]

        Jv = complex_step(forward, param.value, v)
        tolerance = 1e-11 * (1 + np.sum(np.abs(dy * Jv)))
        assert abs(inner(dy, Jv) - inner(grads[path], v)) <= tolerance, path


def agrees_with_differences(layer, x, rng):
    """dx and every grad again, by the public checker: a complex step is silently wrong for abs and conj.

    It compares with extrapolated differences along random directions, and knows how far to trust them.
    """
    check(layer, x, directions=2, seed=int(rng.integers(2**31))).assert_ok()


# ---- second order ----------------------------------------------------------------------------------------


def second_order(layer, x, rng):
    """double_backward is the derivative of (forward, backward) along ddx.

    With L = <ddx, dx> = <dy, J ddx>: dL/d dy is forward's derivative along ddx, dL/dx and dL/dp are the
    derivatives of backward's results along ddx. A complex step of first-order code gives all three exactly.
    """
    y, tape, own = run(layer, x)
    dy, ddx = rng.standard_normal(y.shape), rng.standard_normal(x.shape)
    ddy, bend = own.double_backward(tape, dy, ddx)
    stepped = in_complex(layer)
    stepped_y, stepped_tape = stepped.forward(x + 1e-20j * ddx)
    stepped_dx = stepped.backward(stepped_tape, dy.astype(complex))
    close(ddy, stepped_y.imag / 1e-20)
    close(np.zeros_like(x) if bend is None else bend, stepped_dx.imag / 1e-20)
    for path, param in own.named_params().items():
        close(param.grad, stepped.named_params()[path].grad.imag / 1e-20)


def second_order_agrees_with_differences(layer, x, rng):
    """double_backward again, by the public checker: forward and backward as they are, without complex numbers."""
    report = check_second(layer, x, directions=1, seed=int(rng.integers(2**31)))
    if any(np.abs(c.numeric).max() > 1e-9 for c in report.comparisons.values() if c.verdict == "UNRESOLVED"):
        report.assert_ok()  # what is unresolved is 0 but for rounding: a group of one number is always normalised to 0
    assert "WRONG" not in report.verdict.values() and not report.findings, str(report)


# ---- manners ---------------------------------------------------------------------------------------------


def leaves_inputs_alone(layer, x, rng):
    """No call changes x, dy, ddx or a weight; a backward through the same tape twice gives the same."""
    y, tape, own = run(layer, x)
    dy, ddx = rng.standard_normal(y.shape), rng.standard_normal(x.shape)
    held = [x, dy, ddx, y] + [param.value for param in own.params()]
    before = [array.copy() for array in held]
    first = own.backward(tape, dy)
    own.double_backward(tape, dy, ddx)
    second = own.backward(tape, dy)
    for array, copy_ in zip(held, before, strict=True):
        np.testing.assert_array_equal(array, copy_)
    if first is not None:
        np.testing.assert_array_equal(first, second)


def interleaves(layer, x, rng):
    """Two forwards, then their two backwards, give what two separate runs give, and the grads add up."""
    other = x[::-1].copy() if x.dtype.kind in "iu" else x + rng.standard_normal(x.shape)
    own = copy.deepcopy(layer)
    y, tape = own.forward(x)
    between = copy.deepcopy(own)  # random generators have moved on by one forward
    other_y, other_tape = own.forward(other)
    dy, other_dy = rng.standard_normal(y.shape), rng.standard_normal(other_y.shape)
    dx, other_dx = own.backward(tape, dy), own.backward(other_tape, other_dy)
    alone_dx, alone = gradients(layer, x, dy)
    other_alone_dx, other_alone = gradients(between, other, other_dy)
    if dx is not None:
        np.testing.assert_array_equal(dx, alone_dx)
        np.testing.assert_array_equal(other_dx, other_alone_dx)
    for path, param in own.named_params().items():
        close(param.grad, alone[path] + other_alone[path], rtol=1e-12)


def grads_flag(layer, x, rng):
    """grads=False changes no grad, and nothing in what is returned."""
    y, tape, own = run(layer, x)
    dy, ddx = rng.standard_normal(y.shape), rng.standard_normal(x.shape)
    for param in own.params():
        param.grad[...] = 7.0
    without, without_second = own.backward(tape, dy, grads=False), own.double_backward(tape, dy, ddx, grads=False)
    assert all((param.grad == 7.0).all() for param in own.params())
    with_, with_second = own.backward(tape, dy), own.double_backward(tape, dy, ddx)
    for a, b in zip((without, *without_second), (with_, *with_second), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)


def keeps_float32(layer, x, rng):
    """In float32 everything stays float32, and agrees with the float64 run to what rounding explains."""
    y, tape, own = run(layer, x)
    dy, ddx = rng.standard_normal(y.shape), rng.standard_normal(x.shape)
    wide = [y, own.backward(tape, dy), *own.double_backward(tape, dy, ddx), *[p.grad for p in own.params()]]
    single = copy.deepcopy(layer).astype(np.float32)
    x32 = x if x.dtype.kind in "iu" else x.astype(np.float32)
    dy32, ddx32 = dy.astype(np.float32), ddx.astype(np.float32)
    y32, tape32 = single.forward(x32)
    narrow = [y32, single.backward(tape32, dy32), *single.double_backward(tape32, dy32, ddx32)]
    narrow += [p.grad for p in single.params()]
    for a, b in zip(wide, narrow, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert b.dtype == np.float32
            # Sums of a few terms of size about 1 may cancel; their rounding, some 1e-7 each, does not.
            close(a, b, rtol=1e-5, scale=max(1.0, np.abs(a).max(initial=0)))


def infers(layer, x, rng):
    """layer(x) is forward(x, train=False) without its tape, the same each time, and changes nothing."""
    own = copy.deepcopy(layer)
    before = own.state()
    np.testing.assert_array_equal(own(x), own(x))
    np.testing.assert_array_equal(own(x), own.forward(x, train=False)[0])
    for path, array in own.state().items():
        np.testing.assert_array_equal(array, before[path])


def travels(layer, x, rng):
    """A network that loads another's state computes what the other does."""
    other = copy.deepcopy(layer)
    for param in other.params():
        param.value[...] = rng.standard_normal(param.value.shape)
    other.load_state(layer.state())
    np.testing.assert_array_equal(run(layer, x)[0], run(other, x)[0])


def refuses(layer, x, rng):
    """A wrong dtype or a dy of the wrong shape is refused, and the message names the layer."""
    y, tape, own = run(layer, x)
    message = None
    for call in (
        lambda: own.forward(x.astype(np.float16)),
        lambda: own.forward(x.tolist()),
        lambda: own.backward(tape, rng.standard_normal((*y.shape, 2))),
    ):
        try:
            call()
        except (TypeError, ValueError) as error:
            message = str(error)
        assert message is not None, "accepted"
        assert any(type(part).__name__ in message for _, part in own.named_layers()), message
        message = None


FIRST_ORDER = (adjoint_in_x, adjoint_in_params)
MANNERS = (leaves_inputs_alone, interleaves, grads_flag, keeps_float32, infers, travels, refuses)
