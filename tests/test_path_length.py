"""The path-length penalty: its value by the formula, its gradient by a complex step, and bugs of public code."""

import copy
import math
import types

import numpy as np
import pytest
import rows_styles
from laws import close, in_complex
from penalty_laws import unit
from test_known_bugs import caught

from scratchgan import penalties, training, xp
from scratchgan.gradcheck import complex_step
from scratchgan.layers import (
    Blur,
    Dense,
    Layer,
    ModulatedConv2d,
    Noise,
    PixelNorm,
    Reshape,
    Sequential,
    Synthesis,
    Tanh,
    Upsample,
)
from scratchgan.penalties import PathLength, lazily
from scratchgan.tools.strict import strict_xp


class Widened(Layer):
    """w (N, F) to styles (N, n, F): the same for all, as in StyleGAN."""

    def __init__(self, rows):
        self.rows = rows

    def forward(self, x, train=True):
        return np.repeat(x[:, None], self.rows, axis=1), None

    def pull(self, tape, dy):
        return dy.sum(1), None


def generator(seed=0):
    """Return a small StyleGAN2, mapping and synthesis, in float64, and a batch of z."""
    rng = np.random.default_rng(seed)
    block = lambda *sizes, **options: rows_styles.modulated(*sizes, 4, rng, **options)
    synthesis = Synthesis(
        (2, 2, 3), block(3, 3, 3), Tanh(), Upsample(2), Blur(), block(3, 2, 3),
        rows_styles.drawn(Noise(4, 4, rng=rng), rng), Tanh(), block(2, 1, 1, demodulate=False), rng=rng,
    )  # fmt: skip
    mapping = Sequential(PixelNorm(), Dense(4, 4, rng=rng), Tanh(), Dense(4, 4, rng=rng), Widened(3))
    return mapping.astype(np.float64), synthesis.astype(np.float64), rng.standard_normal((3, 4))


A = 0.05  # the mean of earlier lengths


def penalty(mapping, synthesis, z, weight=2.0, decay=0.0):
    """Return the penalty of pictures of z, and add its gradient to both networks; y is the same each time."""
    path = PathLength(decay=decay)
    path.mean = np.full((), A, dtype=z.dtype)
    styles, tape = mapping.forward(z)
    value, d_styles = path(copy.deepcopy(synthesis), styles, rng=np.random.default_rng(7), weight=weight)
    return value, d_styles, tape


def value_is_its_formula(weight=2.0):
    mapping, synthesis, z = generator()
    styles = mapping(z)
    own = copy.deepcopy(synthesis)
    picture = own.forward(styles)[0]
    y = np.random.default_rng(7).standard_normal(picture.shape) / 4  # sqrt(4 x 4)

    def pictures(styles):
        wide = in_complex(copy.deepcopy(synthesis))
        return (wide.forward(styles)[0] * y).sum()

    total = 0.0
    for n in range(3):
        squares = []
        for i in range(3):
            g = [complex_step(pictures, styles, unit(styles.shape, (n, i, f))) for f in range(4)]
            squares.append(sum(number**2 for number in g))
        total += ((sum(squares) / 3) ** 0.5 - A) ** 2 / 3
    assert penalty(mapping, synthesis, z, weight)[0] == pytest.approx(weight * total, rel=1e-10)


def test_the_value_is_its_formula_sample_by_sample():
    value_is_its_formula()


def gradients_are_the_values():
    """Of every Param of both networks: what is added to its grad is how the value varies, by a complex step."""
    mapping, synthesis, z = generator()
    path, rng = PathLength(decay=0.0), np.random.default_rng(7)
    path.mean = np.full((), A)
    styles, tape = mapping.forward(z)
    own = copy.deepcopy(synthesis)
    _, d_styles = path(own, styles, rng=rng)
    mapping.accumulate(tape, d_styles)
    draw = np.random.default_rng(1)
    for part, (net, source) in enumerate(((mapping, mapping), (own, synthesis))):
        for name, param in net.named_params().items():
            v = draw.standard_normal(param.value.shape)

            def value(W, name=name, part=part):
                wide = [in_complex(generator()[0]), in_complex(synthesis)]
                wide[part].named_params()[name].value[...] = W
                return penalty(*wide, z + 0j)[0]

            expected = complex_step(value, source.named_params()[name].value, v)
            scale = np.abs(param.grad * v).sum() + 1e-6
            assert abs((param.grad * v).sum() - expected) <= 1e-9 * scale, (part, name)
    assert all(param.grad.any() for param in mapping.params())


def test_gradients_of_every_param_of_mapping_and_synthesis():
    gradients_are_the_values()


def mean_of_the_first(decay=0.25):
    """a is the mean of all lengths until 1 / decay of them are known, and then forgets; it starts from no 0."""
    mapping, synthesis, z = generator()
    path, styles, lengths, a = PathLength(decay=decay), mapping(z), [], None
    for call in range(1, 8):
        level = PathLength(decay=1.0)  # of what is there now
        level(copy.deepcopy(synthesis), call * styles, rng=np.random.default_rng(call))
        lengths.append(float(level.mean))
        value, _ = path(copy.deepcopy(synthesis), call * styles, rng=np.random.default_rng(call))
        a = np.mean(lengths) if call <= 4 else a + 0.25 * (lengths[-1] - a)
        assert float(path.mean) == pytest.approx(a, rel=1e-6)
        fixed = PathLength(decay=0.0)
        fixed.mean[...] = path.mean
        assert value == fixed(copy.deepcopy(synthesis), call * styles, rng=np.random.default_rng(call))[0]
        assert fixed.mean == path.mean


def test_the_running_mean():
    mean_of_the_first()


def test_a_mean_that_starts_at_0_is_caught(monkeypatch):
    """For some hundred calls, it pulls all lengths down."""
    right = PathLength.__call__

    def late(self, *args, **options):
        self.calls = 10**9
        return right(self, *args, **options)

    monkeypatch.setattr(PathLength, "__call__", late)
    caught(mean_of_the_first)


class Held(training.Model):
    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.path_length = PathLength()


def test_a_checkpoint_holds_the_running_mean():
    one, other = (Held(training.Settings(), (2, 2, 1), np.random.default_rng(0)) for _ in range(2))
    one.path_length.mean[...] = 3
    state = one.state()
    assert state["path_length/mean"] == 3
    other.load_state(state)
    assert other.path_length.mean == 3


def test_a_decay_is_a_share():
    with pytest.raises(ValueError, match="PathLength: decay is 2"):
        PathLength(decay=2)


def test_one_style_for_a_whole_generator():
    """(N, F) counts as one style."""
    rng = np.random.default_rng(0)
    G = Sequential(Dense(4, 12, rng=rng), Tanh(), Reshape(2, 2, 3)).astype(np.float64)
    z, draws = rng.standard_normal((5, 4)), lambda: np.random.default_rng(7)
    value, dz = PathLength(decay=0.0)(G, z, rng=draws())
    assert dz.shape == z.shape and G.layers[0].W.grad.any()
    y, tape = G.forward(z)
    g, _ = G.pull(tape, draws().standard_normal(y.shape) / 2)
    assert value == pytest.approx(2 * (g * g).sum(1).mean(), rel=1e-12)  # a is 0


def mean_over_the_interval_is_the_weight(call):
    """Sixteen steps of the lazy penalty add what sixteen of the penalty would."""
    mapping, synthesis, z = generator()
    total, styles = 0.0, mapping(z)
    for step in range(16):
        if lazily(step, 4):
            total += call(PathLength(decay=0.0), copy.deepcopy(synthesis), styles, step)
    always = PathLength(decay=0.0)(copy.deepcopy(synthesis), styles, rng=np.random.default_rng(7))[0]
    assert total == pytest.approx(16 * always, rel=1e-9)


def test_lazily():
    draws = lambda: np.random.default_rng(7)
    right = lambda path, G, styles, step: path(G, styles, rng=draws(), weight=2 * lazily(step, 4))[0]
    mean_over_the_interval_is_the_weight(right)
    caught(mean_over_the_interval_is_the_weight, lambda path, G, styles, step: path(G, styles, rng=draws())[0])


def test_lengths_averaged_over_the_batch_are_caught(monkeypatch):
    """Where the styles were meant: there they stand first (labml)."""

    class Swapped(PathLength):
        def __call__(self, G, styles, *, rng, weight=2.0):
            picture, tape = G.forward(styles)
            y = rng.standard_normal(picture.shape) / 4
            g, _ = G.pull(tape, y)
            length = np.sqrt((g * g).sum(2).mean(0))
            return weight * ((length - self.mean) ** 2).mean(), g

    monkeypatch.setitem(globals(), "PathLength", Swapped)
    caught(value_is_its_formula)


def test_y_without_its_scale_is_caught(monkeypatch):
    unscaled = lambda sides: 1 if len(sides) == 2 else math.prod(sides)  # of H and W_
    monkeypatch.setattr(penalties, "math", types.SimpleNamespace(prod=unscaled))
    caught(value_is_its_formula)


def test_a_bend_that_is_dropped_is_caught(monkeypatch):
    """The mapping network is then never told of the penalty."""
    right = PathLength.__call__

    def dropped(self, G, styles, **options):
        value, bend = right(self, G, styles, **options)
        return value, np.zeros_like(bend)

    monkeypatch.setattr(PathLength, "__call__", dropped)
    caught(gradients_are_the_values)


def test_the_penalty_on_the_stand_in_for_a_gpu():
    """The numbers of NumPy, in float32, and no waiting."""
    values = []
    for module in (np, strict_xp):
        with xp.using(module):
            rng = np.random.default_rng(0)
            blocks = [ModulatedConv2d(3, 2, 3, 4, padding=1, rng=rng), Noise(2, 2, rng=rng), Tanh()]
            G = Synthesis((2, 2, 3), *blocks, rng=rng)
            styles, path = xp.to_device(rng.standard_normal((3, 1, 4), dtype="float32")), PathLength()
            with strict_xp.counting() as counts:
                value, bend = path(G, styles, rng=rng)
            assert counts.synchronisations == 0
            assert value.dtype == bend.dtype == np.float32
            values.append([xp.to_host(a) for a in (value, bend, path.mean, *[param.grad for param in G.params()])])
    for ours, theirs in zip(*values, strict=True):
        close(ours, theirs, rtol=1e-5, scale=1.0)
