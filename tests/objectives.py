"""What a step hands to its optimizer, against the derivative of a paper's formula: through G and D, in float64."""

import copy

import numpy as np


def log_sigmoid(x):
    return -np.log(1 + np.exp(-x))


def log_p(logits, labels):
    """The logarithm of the softmax's number of each sample's label, longhand."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return np.log(p[np.arange(len(labels)), labels])


def above_zero(x):
    return np.where(x.real > 0, x, 0)


def in_dtype(x, dtype):
    return x.astype(dtype) if x.dtype.kind == "f" else x


def follows(model, player, step, told, formula):
    """The gradient handed to the optimizer of "G" or "D", along random directions, is that of the formula.

    step(*told) takes the player's step; formula(G, D, draw, *told) is what it descends, for networks and arrays of
    any dtype, draw() being z as the step draws it. The one is computed in float64, the other by a complex step.
    """
    rng = np.random.default_rng(0)
    told = [in_dtype(part, np.float64) for part in told]
    held = copy.deepcopy({"G": model.G, "D": model.D, "rng": model.rng})  # noise in D shares the generator of z
    found = handed_over(model, player, lambda: step(*told))
    for _ in range(3):
        stepped = copy.deepcopy(held)
        own_rng = stepped.pop("rng")
        stepped = {key: net.astype(np.complex128) for key, net in stepped.items()}
        directions = [rng.standard_normal(param.value.shape) for param in stepped[player].params()]
        for param, v in zip(stepped[player].params(), directions, strict=True):
            param.value[...] += 1e-20j * v
        draw = lambda own_rng=own_rng: model.latent(len(told[0]), own_rng).astype(complex)
        loss = formula(stepped["G"], stepped["D"], draw, *[in_dtype(part, complex) for part in told])
        terms = [(grad * v).sum() for grad, v in zip(found, directions, strict=True)]
        assert abs(sum(terms) - loss.imag / 1e-20) < 1e-10 * sum(map(abs, terms))


def handed_over(model, player, step):
    """Return the grads that a step leaves to the optimizer of "G" or "D", of a copy of the networks in float64."""
    copies = copy.deepcopy({"G": model.G, "D": model.D, "rng": model.rng})
    model.G, model.D, model.rng = copies["G"].astype(np.float64), copies["D"].astype(np.float64), copies["rng"]
    model.noise = lambda n: model.latent(n, model.rng).astype(np.float64)
    optimizer = {"G": model.opt_G, "D": model.opt_D}[player]
    optimizer.step = lambda: None
    step()
    return [param.grad for param in copies[player].params()]
