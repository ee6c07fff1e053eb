"""The laws that every layer obeys, as functions of a layer and an input. `test_laws.py` holds the table of layers.

x and y are arrays or tuples of them, nested; so are their gradients, where None is zero, and integers have none.
Every law works on deep copies, so that a layer with a random generator (Dropout) draws the same each time.
"""

import copy

import numpy as np
from tuples import TINY, as_checked, direction, each, each_float, filled, in_structure_of, is_float, moved, parts, slope

from scratchgan.gradcheck import check, check_second


def inner(a, b):
    """<a, b>, the sum over all elements; of lists of arrays, over all of them."""
    if isinstance(a, list):
        return sum(inner(*pair) for pair in zip(a, b, strict=True))
    return float(np.sum(a * b))


def close(a, b, rtol=1e-10, scale=None):
    """Assert that two arrays agree to rtol of their own largest element (or of `scale`)."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape, f"shapes {a.shape} and {b.shape}"
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0), 1e-3) if scale is None else scale
    worst = np.abs(a - b).max(initial=0)
    assert worst <= rtol * scale, f"differ by {worst:.3g}, of {scale:.3g}"


def all_close(a, b, rtol=1e-10):
    for one, other in zip(a, b, strict=True):
        close(one, other, rtol)


def all_equal(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


# ---- a layer at work -------------------------------------------------------------------------------------


def run(layer, x):
    """Return forward's y and tape, computed by a copy of the layer, and that copy."""
    layer = copy.deepcopy(layer)
    return *layer.forward(x), layer


def grads(layer):
    """Return copies of all grads of a layer."""
    return [param.grad.copy() for param in layer.params()]


def gradients(layer, x, dy):
    """Return (dx, {path: grad}) of one forward and backward."""
    _, tape, layer = run(layer, x)
    dx = layer.backward(tape, dy)
    return dx, {path: param.grad for path, param in layer.named_params().items()}


def all_passes(layer, x, dy, ddx):
    """Return all that a layer computes, as a list: y, dx, ddy, the bend, the grads of first and of second order."""
    y, tape = layer.forward(x)
    dx, kept = layer.pull(tape, dy)
    layer.accumulate(tape, dy)
    first = grads(layer)
    layer.zero_grad()
    ddy, bend = layer.double_backward(tape, kept, ddx)
    return [*parts(y), *filled(dx, x), *filled(ddy, y), *filled(bend, x), *first, *grads(layer)]


def in_complex(layer):
    """Return a copy of the layer with complex weights, for complex steps."""
    return copy.deepcopy(layer).astype(np.complex128)


# ---- first order -----------------------------------------------------------------------------------------


def adjoint_in_x(layer, x, rng):
    """<dy, J v> = <J^T dy, v> with J v by a complex step of forward alone."""
    y, _, _ = run(layer, x)
    dy, v = direction(y, rng), direction(x, rng)
    Jv = slope(run(in_complex(layer), moved(x, v))[0])
    dx = filled(gradients(layer, x, dy)[0], x)
    dy, v = filled(dy, y), filled(v, x)
    assert [array.shape for array in dx] == [array.shape for array in v]
    tolerance = 1e-11 * (1 + sum(np.sum(np.abs(a * b)) for a, b in zip(dy, Jv, strict=True)))
    assert abs(inner(dy, Jv) - inner(dx, v)) <= tolerance


def adjoint_in_params(layer, x, rng):
    """<dy, dy/dp v> = <grad of p, v> for every Param p."""
    y, _, _ = run(layer, x)
    dy = direction(y, rng)
    _, at_params = gradients(layer, x, dy)
    dy = filled(dy, y)
    for path, param in layer.named_params().items():
        v = rng.standard_normal(param.value.shape)
        stepped = in_complex(layer)
        stepped.named_params()[path].value[...] = param.value + TINY * 1j * v
        Jv = slope(stepped.forward(each_float(lambda array: array.astype(complex), x))[0])
        tolerance = 1e-11 * (1 + sum(np.sum(np.abs(a * b)) for a, b in zip(dy, Jv, strict=True)))
        assert abs(inner(dy, Jv) - inner(at_params[path], v)) <= tolerance, path


def backward_is_both(layer, x, rng):
    """backward = accumulate + pull: dx and every grad. accumulate returns nothing."""
    y, tape, own = run(layer, x)
    dy = direction(y, rng)
    both = filled(own.backward(tape, dy), x), grads(own)
    own.zero_grad()
    assert own.accumulate(tape, dy) is None
    all_close(both[1], grads(own), rtol=1e-12)
    all_close(both[0], filled(own.pull(tape, dy)[0], x), rtol=1e-12)


def pull_leaves_grads_alone(layer, x, rng):
    """pull goes through a layer, and into none of its Params."""
    y, tape, own = run(layer, x)
    for param in own.params():
        param.grad[...] = 7.0
    own.pull(tape, direction(y, rng))
    assert all((param.grad == 7.0).all() for param in own.params())


def agrees_with_differences(layer, x, rng):
    """dx and every grad again, by the public checker: a complex step is silently wrong for abs and conj.

    It compares with extrapolated differences along random directions, and knows how far to trust them.
    """
    check(*as_checked(layer, x), directions=2, seed=int(rng.integers(2**31))).assert_ok()


# ---- second order ----------------------------------------------------------------------------------------


def second_order(layer, x, rng):
    """double_backward is the derivative of (forward, pull, accumulate) along ddx.

    With L = <ddx, dx> = <dy, J ddx>: dL/d dy is forward's derivative along ddx, dL/dx and dL/dp are the
    derivatives of what pull and accumulate give along ddx. A complex step of first-order code gives all three exactly.
    """
    y, tape, own = run(layer, x)
    dy, ddx = direction(y, rng), direction(x, rng)
    _, kept = own.pull(tape, dy)
    ddy, bend = own.double_backward(tape, kept, ddx)
    stepped = in_complex(layer)
    stepped_y, stepped_tape = stepped.forward(moved(x, ddx))
    wide_dy = each(lambda array: None if array is None else array.astype(complex), dy)
    stepped_dx, _ = stepped.pull(stepped_tape, wide_dy)
    stepped.accumulate(stepped_tape, wide_dy)
    all_close(filled(ddy, y), slope(stepped_y))
    all_close(filled(bend, x), [array.imag / TINY for array in filled(stepped_dx, x)])
    for path, param in own.named_params().items():
        close(param.grad, stepped.named_params()[path].grad.imag / TINY)


def second_order_agrees_with_differences(layer, x, rng):
    """double_backward again, by the public checker: forward and pull as they are, without complex numbers."""
    report = check_second(*as_checked(layer, x), directions=1, seed=int(rng.integers(2**31)))
    if any(np.abs(c.numeric).max() > 1e-9 for c in report.comparisons.values() if c.verdict == "UNRESOLVED"):
        report.assert_ok()  # what is unresolved is 0 but for rounding: a group of one number is always normalised to 0
    assert "WRONG" not in report.verdict.values() and not report.findings, str(report)


# ---- tapes -----------------------------------------------------------------------------------------------


def leaves_inputs_alone(layer, x, rng):
    """No call changes x, y, dy, dx, ddx or a weight."""
    y, tape, own = run(layer, x)
    dy, ddx = direction(y, rng), direction(x, rng)
    dx, kept = own.pull(tape, dy)
    held = [*parts(x), *parts(y), *filled(dy, y), *filled(dx, x), *filled(ddx, x)]
    held += [param.value for param in own.params()]
    before = [array.copy() for array in held]
    own.accumulate(tape, dy)
    own.backward(tape, dy)
    own.double_backward(tape, kept, ddx)
    own.pull(tape, dy)
    all_equal(held, before)


def one_tape_serves_twice(layer, x, rng):
    """pull, accumulate, double_backward, and all again: the same as once, whatever was pulled between; grads add up."""
    y, tape, own = run(layer, x)
    dy, other, ddx = direction(y, rng), direction(y, rng), direction(x, rng)
    once = all_passes(copy.deepcopy(layer), x, dy, ddx)
    _, kept = own.pull(tape, dy)
    for _ in range(2):
        own.zero_grad()
        own.pull(tape, other)
        own.accumulate(tape, dy)
        first = grads(own)
        own.zero_grad()
        ddy, bend = own.double_backward(tape, kept, ddx)
        dx, _ = own.pull(tape, dy)
        again = [*parts(y), *filled(dx, x), *filled(ddy, y), *filled(bend, x), *first, *grads(own)]
        all_equal(once, again)
    second = grads(own)
    own.double_backward(tape, kept, ddx)
    all_close(grads(own), [2 * grad for grad in second], rtol=1e-12)


def interleaves(layer, x, rng):
    """Two forwards, then their two backwards, give what two separate runs give, and the grads add up."""
    other = each(lambda a: a + rng.standard_normal(a.shape) if is_float(a) else a[::-1].copy(), x)
    own = copy.deepcopy(layer)
    y, tape = own.forward(x)
    between = copy.deepcopy(own)  # random generators have moved on by one forward
    other_y, other_tape = own.forward(other)
    dy, other_dy = direction(y, rng), direction(other_y, rng)
    dx, other_dx = own.backward(tape, dy), own.backward(other_tape, other_dy)
    alone_dx, alone = gradients(layer, x, dy)
    other_alone_dx, other_alone = gradients(between, other, other_dy)
    all_equal(filled(dx, x), filled(alone_dx, x))
    all_equal(filled(other_dx, x), filled(other_alone_dx, x))
    for path, param in own.named_params().items():
        close(param.grad, alone[path] + other_alone[path], rtol=1e-12)


def without_part(gradient, index, instead):
    """Return a gradient in whose list of parts one is None, and the same with something in its place."""
    arrays = parts(gradient)
    put = lambda part: in_structure_of(gradient, [*arrays[:index], part, *arrays[index + 1 :]])
    return put(None), put(instead)


def none_is_zero(layer, x, rng):
    """A part of dy or ddx that is None counts as zeros. ddy says nothing about parts of y that were not asked."""
    y, tape, own = run(layer, x)
    dy, ddx = direction(y, rng), direction(x, rng)

    def passes(dy, ddx):
        own.zero_grad()
        dx, kept = own.pull(tape, dy)
        again = own.backward(tape, dy)
        own.accumulate(tape, dy)
        ddy, bend = own.double_backward(tape, kept, ddx)
        return [*filled(dx, x), *filled(again, x), *filled(bend, x), *grads(own)], filled(ddy, y)

    for index, part in enumerate(parts(x) if isinstance(x, tuple) else []):
        if is_float(part):
            nothing, zeros = without_part(ddx, index, np.zeros_like(part))
            (ours, ddy), (expected, expected_ddy) = passes(dy, nothing), passes(dy, zeros)
            all_close(ours + ddy, expected + expected_ddy, rtol=1e-12)
    for index, part in enumerate(parts(y)):
        if is_float(part) and len(filled(dy, y)) > 1:  # somebody asks
            nothing, zeros = without_part(dy, index, np.zeros_like(part))
            all_close(passes(nothing, ddx)[0], passes(zeros, ddx)[0], rtol=1e-12)


# ---- manners ---------------------------------------------------------------------------------------------


def keeps_float32(layer, x, rng):
    """In float32 everything stays float32, and agrees with the float64 run to what rounding explains."""
    single = copy.deepcopy(layer).astype(np.float32)
    dy, ddx = direction(run(layer, x)[0], rng), direction(x, rng)
    narrowed = lambda array: array if array is None or not is_float(array) else array.astype(np.float32)
    wide = all_passes(copy.deepcopy(layer), x, dy, ddx)
    narrow = all_passes(single, *[each(narrowed, array) for array in (x, dy, ddx)])
    for a, b in zip(wide, narrow, strict=True):
        assert b.dtype == (np.float32 if is_float(a) else a.dtype)
        # Sums of a few terms of size about 1 may cancel; their rounding, some 1e-7 each, does not.
        close(a, b, rtol=1e-5, scale=max(1.0, np.abs(a).max(initial=0)))


def infers(layer, x, rng):
    """layer(x) is forward(x, train=False) without its tape, the same each time, and changes nothing."""
    own = copy.deepcopy(layer)
    before = own.state()
    all_equal(parts(own(x)), parts(own(x)))
    all_equal(parts(own(x)), parts(own.forward(x, train=False)[0]))
    for path, array in own.state().items():
        np.testing.assert_array_equal(array, before[path])


def takes_no_samples(layer, x, rng):
    """A batch of no samples is computed, in inference, and adds nothing; or it is refused by the layer's name."""
    own = copy.deepcopy(layer)
    try:
        y, tape = own.forward(each(lambda part: part[:0], x), train=False)
    except ValueError as error:
        assert "wanted" in str(error) or "too small" in str(error), error
        return
    dx, kept = own.pull(tape, y)
    own.backward(tape, y)
    if dx is not None:
        own.double_backward(tape, kept, dx)
    assert not any(param.grad.any() for param in own.params())


def travels(layer, x, rng):
    """A network that loads another's state computes what the other does."""
    other = copy.deepcopy(layer)
    for param in other.params():
        param.value[...] = rng.standard_normal(param.value.shape)
    other.load_state(layer.state())
    all_equal(parts(run(layer, x)[0]), parts(run(other, x)[0]))


def refuses(layer, x, rng):
    """A wrong dtype, a list or a dy of the wrong shape is refused, in each part; the message names the layer."""
    y, tape, own = run(layer, x)
    dy = direction(y, rng)
    calls = [lambda: own.forward([x])]
    for index, part in enumerate(parts(x)):
        for wrong in (part.astype(np.float16), part.tolist()):
            given = without_part(x, index, wrong)[1]
            calls.append(lambda given=given: own.forward(given))
    for index, part in enumerate(parts(y)):
        given = without_part(dy, index, rng.standard_normal((*part.shape, 2)))[1]
        calls += [lambda given=given: own.pull(tape, given), lambda given=given: own.backward(tape, given)]
        if own.params() and not isinstance(y, tuple):  # a branch without Params has nothing to do
            calls.append(lambda given=given: own.accumulate(tape, given))
    for call in calls:
        message = None
        try:
            call()
        except (TypeError, ValueError) as error:
            message = str(error)
        assert message is not None, "accepted"
        assert any(type(part).__name__ in message for _, part in own.named_layers()), message
