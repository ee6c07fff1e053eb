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


def follows(model, player, step, told, formula, printed):
    """The gradient handed to the optimizer of "G" or "D", along random directions, is that of the formula.

    step(*told) takes the player's step; formula(G, D, draw, *told) is what it descends, for networks and arrays of
    any dtype, draw() being z as the step draws it, by draw.rng. The one is computed in float64, the other by a complex
    step.
    printed: the value of the formula from what the step returns to be printed; None where it returns a part only.
    """
    rng = np.random.default_rng(0)
    told = [in_dtype(part, np.float64) for part in told]
    held = copy.deepcopy({"G": model.G, "D": model.D, "rng": model.rng})  # noise in D shares the generator of z
    grads, said = handed_over(model, player, lambda: step(*told))
    for _ in range(3):
        stepped = copy.deepcopy(held)
        own_rng = stepped.pop("rng")
        stepped = {key: net.astype(np.complex128) for key, net in stepped.items()}
        directions = [rng.standard_normal(param.value.shape) for param in stepped[player].params()]
        for param, v in zip(stepped[player].params(), directions, strict=True):
            param.value[...] += 1e-20j * v
        draw = lambda own_rng=own_rng: model.latent(len(told[0]), own_rng).astype(complex)
        draw.rng = own_rng  # for what a step draws besides z
        loss = formula(stepped["G"], stepped["D"], draw, *[in_dtype(part, complex) for part in told])
        terms = [(grad * v).sum() for grad, v in zip(grads, directions, strict=True)]
        assert printed is None or abs(printed(said) - loss.real) < 1e-10 * abs(loss)
        assert abs(sum(terms) - loss.imag / 1e-20) < 1e-10 * sum(map(abs, terms))


def handed_over(model, player, step):
    """Return the grads that a step leaves to the optimizer of "G" or "D", and what it returns, all in float64."""
    copies = copy.deepcopy({"G": model.G, "D": model.D, "rng": model.rng})
    model.G, model.D, model.rng = copies["G"].astype(np.float64), copies["D"].astype(np.float64), copies["rng"]
    model.noise = lambda n: model.latent(n, model.rng).astype(np.float64)
    optimizer = {"G": model.opt_G, "D": model.opt_D}[player]
    optimizer.step = lambda: None
    said = step()
    return [param.grad for param in copies[player].params()], said


def to_the_margin(model, side, real, *labels):
    """Move D's score until half of the real samples lie beyond 1, or half of the "fake" ones beyond -1.

    Between the two, where every D starts, a hinge is a straight line, and one that is left out would not be seen.
    """
    G, D, rng = copy.deepcopy((model.G, model.D, model.rng))
    z = model.latent(len(real), rng)
    x = real if side == "real" else G.forward((z, *labels) if labels else z)[0]
    scores = D.forward((x, *labels) if labels else x)[0][:, 0]
    (bias,) = [param for param in model.D.params() if param.value.shape == (1,)]
    bias.value += (1 if side == "real" else -1) - np.median(scores)


def stretches(net):
    """Return the largest singular value of each weight W that a network computes with: as (inputs, outputs)."""
    weights = [param.effective() for path, param in net.named_params().items() if path.endswith("W")]
    return [np.linalg.svd(W.reshape(-1, W.shape[-1]), compute_uv=False)[0] for W in weights]
