"""Shares of a batch without any launcher: random numbers, batch normalisation, and what is refused before a step."""

import numpy as np
import parallel_small
import pytest
from emulated import together as emulate

from scratchgan import fast, losses, parallel
from scratchgan.data import Batches
from scratchgan.fast import threads
from scratchgan.layers import BatchNorm, Dense, Flatten, LeakyReLU, MinibatchStd, Pack, Sequential
from scratchgan.optim import SGD, clip_norm
from scratchgan.support.errors import TrainingError, UserError
from scratchgan.support.rng import Metered
from scratchgan.training import together

DRAWS = {
    "random": lambda rng, n: rng.random((n, 3), dtype=np.float32),
    "random of a number": lambda rng, n: rng.random(n),
    "standard_normal": lambda rng, n: rng.standard_normal((n, 2, 2), dtype=np.float32),
    "standard_normal, named": lambda rng, n: rng.standard_normal(size=(n, 2)),
    "integers": lambda rng, n: rng.integers(0, 7, n),
    "integers, named": lambda rng, n: rng.integers(7, size=(n, 2)),
    "uniform": lambda rng, n: rng.uniform(-1, 1, (n, 1)),
    "normal": lambda rng, n: rng.normal(0, 2, n),
    "gumbel": lambda rng, n: rng.gumbel(size=n),
    "choice": lambda rng, n: rng.choice(np.arange(50) * 2, n),
    "exponential": lambda rng, n: rng.exponential(2.0, (n, 2)),
}


# ---- random numbers and batches --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("name", DRAWS)
def test_each_keeps_its_rows_of_what_one_draws(monkeypatch, name, size):
    plain = np.random.default_rng(3)
    whole = DRAWS[name](plain, 6 * size)

    def work(rank):
        rng = together.Shared(np.random.default_rng(3).bit_generator)
        return DRAWS[name](rng, 6), rng.bit_generator.state

    results = emulate(size, work, monkeypatch)
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in results]), whole)
    assert all(state == plain.bit_generator.state for _, state in results)


def test_weights_and_single_numbers_are_drawn_whole(monkeypatch):
    def work(rank):
        rng = together.Shared(np.random.default_rng(3).bit_generator, lambda size: None)
        weights = rng.standard_normal((4, 2))
        rng.demand = None
        return np.append(weights, [rng.random(), rng.integers(9)])

    one, other = emulate(2, work, monkeypatch)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one[:8], np.random.default_rng(3).standard_normal(8))


def test_batches_are_shared_in_blocks(monkeypatch):
    x, y = np.arange(10), np.arange(10) * 10
    make = lambda: Batches(x, y, batch_size=6, rng=np.random.default_rng(0))
    wanted = make()

    def work(rank):
        batches = make()
        return [batches.next() for _ in range(4)]

    parts = emulate(3, work, monkeypatch)
    for step in range(4):
        for i, whole in enumerate(wanted.next()):
            np.testing.assert_array_equal(np.concatenate([part[step][i] for part in parts]), whole)
    with pytest.raises(UserError, match="4 processes cannot share 6 samples"):
        emulate(4, work, monkeypatch)


def test_the_length_that_is_clipped_is_that_of_the_mean(monkeypatch):
    def work(rank):
        dense = Dense(1, 1, bias=False, rng=np.random.default_rng(0))
        optimizer = SGD(dense.params(), 1.0)
        before = dense.W.value.copy()
        dense.W.grad[...] = [[4.0], [-2.0]][rank]  # the mean is 1: nothing to clip
        norm = clip_norm(optimizer, 1.5)
        optimizer.step()
        return float(norm), float(before[0, 0] - dense.W.value[0, 0])

    assert emulate(2, work, monkeypatch) == [(1.0, pytest.approx(1.0))] * 2


# ---- batch normalisation ---------------------------------------------------------------------------------


def derivatives(channels, rows, rank=0, size=1):
    """Return all that BatchNorm computes of this process's rows of a batch, and its sums as the optimizer has them."""
    rng = np.random.default_rng(1)
    x, dy, ddx = 2 * rng.standard_normal((3, rows, 3, channels))
    part = slice(rank * rows // size, (rank + 1) * rows // size)
    layer = BatchNorm(channels).astype("float64")
    layer.gamma.value[...] = rng.uniform(0.5, 2, channels)
    y, tape = layer.forward(x[part])
    dx, kept = layer.pull(tape, dy[part])
    ddy, bend = layer.double_backward(tape, kept, size * ddx[part])  # of a mean over this process's samples
    layer.accumulate(tape, size * dy[part])
    sums = [parallel.group().mean(param.grad.copy()) for param in layer.params()]
    both = layer.backward(tape, dy[part])
    np.testing.assert_allclose(both, dx, rtol=1e-12, atol=1e-12)
    return [y, dx, ddy / size, bend / size], [*sums, layer.running_mean, layer.running_var]


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("plain", [True, False])
def test_batch_norm_of_several_is_that_of_one_to_second_order(monkeypatch, plain, size, channels):
    """Also where a process has so few samples that alone it could not normalise at all."""
    if plain:
        fast.off()
    try:
        rows, sums = derivatives(channels, 6)
        results = emulate(size, lambda rank: derivatives(channels, 6, rank, size), monkeypatch)
    finally:
        fast.on()
    for i, whole in enumerate(rows):
        parts = np.concatenate([own[i] for own, _ in results])
        np.testing.assert_allclose(parts, whole, rtol=1e-11, atol=1e-12)
    for _, own in results:
        for one, other in zip(own, sums, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


def test_in_inference_batch_norm_asks_nobody(monkeypatch):
    def work(rank):
        layer = BatchNorm(3)
        return layer(np.ones((rank + 1, 3), np.float32)).shape, parallel.group().sums

    assert emulate(2, work, monkeypatch) == [((1, 3), []), ((2, 3), [])]


# ---- what is refused, and what a trial leaves behind -----------------------------------------------------


def tried(Model, monkeypatch, kind="mlp", size=2, Generator=together.Shared, change=lambda model: None):
    """Let several processes try a model before its first step; return the states before and after."""

    def work(rank):
        settings = parallel_small.Settings(kind=kind)
        rng = Generator(np.random.default_rng(1).bit_generator, lambda size: None)
        model = Model(settings, (8, 8, 1), rng)
        change(model)
        rng.demand = None
        model.remember_as_built()
        batches = Batches(Model.load_data(settings), batch_size=12, rng=np.random.default_rng(2))
        before = model.state() | batches.state()
        together.demand_as_one(model, batches)
        assert batches.batch_size == 12 and not any("step" in vars(opt) for opt in (model.opt_G, model.opt_D))
        return before, model.state() | batches.state()

    threads.use(1)
    return emulate(size, work, monkeypatch)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("kind", parallel_small.KINDS)
def test_a_trial_leaves_no_trace(monkeypatch, kind, size):
    for before, after in tried(parallel_small.Small, monkeypatch, kind, size):
        assert before.keys() == after.keys()
        for name, array in before.items():
            assert array.tobytes() == after[name].tobytes(), name


class Relativistic(parallel_small.Small):
    """D asks whether a sample looks more real than the others on average (Jolicoeur-Martineau 2019)."""

    def discriminator_step(self, real):
        fake, _ = self.G.forward(self.noise(len(real)))
        (real_logits, real_tape), (fake_logits, fake_tape) = self.D.forward(real), self.D.forward(fake)
        value, d_real, d_fake = losses.relativistic_average_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return value


class Matching(parallel_small.Small):
    """G's mean features shall be those of real samples (Salimans et al. 2016)."""

    def generator_step(self, n):
        fake, tape = self.G.forward(self.noise(n))
        real = np.zeros((n, 64), np.float32)
        value, d_fake = losses.feature_matching(real, fake.reshape(n, -1))
        self.G.accumulate(tape, d_fake.reshape(fake.shape))
        self.opt_G.step()
        return value


class Keeping(parallel_small.Small):
    """Old samples come back, and each process would have its own."""

    def generator_step(self, n):
        self.kept = self.generate(self.noise(n))[0].copy()
        return super().generator_step(n)


class Balancing(parallel_small.Small):
    """A number follows the loss, of which each process knows its share."""

    def discriminator_step(self, real):
        loss = super().discriminator_step(real)
        self.k = getattr(self, "k", 0.0) + 0.1 * float(loss)
        return loss


class OfAll(parallel_small.Small):
    """Every process takes the whole batch: right, and of no use."""

    def networks(self, kind, rng):
        G, D = super().networks(kind, rng)
        return G, Sequential(*D.layers[:3], D.layers[4])  # without dropout, which draws for all

    def step(self, batches):
        with parallel.alone():
            real, z = batches.next(), self.noise(12)
        self.noise = lambda n: z
        try:
            return {"D": self.discriminator_step(real.astype(np.float32)), "G": self.generator_step(12)}
        finally:
            del self.noise


class OneDraw(parallel_small.Small):
    """All samples of a batch are moved alike, by two numbers that are no row of it."""

    def discriminator_step(self, real):
        down, right = self.rng.integers(0, 8, 2)
        return super().discriminator_step(np.roll(real, (down, right), (1, 2)))


REFUSED = {
    Relativistic: "losses.against_average takes a mean", Matching: "losses.feature_matching takes a mean",
    Keeping: "kept is not what", Balancing: "k is not what", OfAll: "takes the same samples in each",
    OneDraw: "that of opt_D, is not what",
}  # fmt: skip


@pytest.mark.parametrize("Model", REFUSED)
def test_what_is_no_mean_over_samples_is_refused(monkeypatch, Model):
    with pytest.raises(UserError, match=f"2 processes would not train this model as one does: .*{REFUSED[Model]}"):
        tried(Model, monkeypatch)


@pytest.mark.parametrize("Model", [Relativistic, Matching])
def test_what_is_refused_by_name_is_refused_by_its_numbers(monkeypatch, Model):
    monkeypatch.setattr(together, "MIXING", ())
    with pytest.raises(UserError, match="is not what one process has for the whole batch"):
        tried(Model, pytest.MonkeyPatch())


@pytest.mark.parametrize("layer", [MinibatchStd(2), MinibatchStd(4)])
def test_layers_that_compare_samples_are_refused_by_name(monkeypatch, layer):
    def change(model):
        model.D = Sequential(Flatten(), layer, Dense(65, 1, rng=np.random.default_rng(0)))

    with pytest.raises(UserError, match=rf"D\.1, MinibatchStd\({layer.group}\), compares the samples"):
        tried(parallel_small.Small, monkeypatch, change=change)


def test_packed_samples_are_shared(monkeypatch):
    """The samples that D judges as one stand side by side, and stay together."""

    def change(model):
        model.D = Sequential(
            Flatten(), Pack(2), Dense(128, 8, rng=np.random.default_rng(0)), LeakyReLU(), Dense(8, 1, rng=model.rng)
        )
        model.opt_D = SGD(model.D.params(), 0.1)

    tried(parallel_small.Small, monkeypatch, change=change)


def test_planted_the_same_noise_for_all_is_refused(monkeypatch):
    with pytest.raises(UserError, match="would not train this model as one does"):
        tried(parallel_small.Small, monkeypatch, Generator=Metered)


def test_planted_a_sum_in_place_of_the_mean_is_refused(monkeypatch):
    monkeypatch.setattr(parallel.Group, "mean", lambda self, array: self.sum(array) if self.size > 1 else array)
    with pytest.raises(UserError, match="would not train this model as one does"):
        tried(parallel_small.Small, pytest.MonkeyPatch())


@pytest.mark.parametrize("plain", [True, False])
def test_planted_batch_norm_that_is_not_synchronised_is_refused(monkeypatch, plain):
    monkeypatch.setattr(BatchNorm, "of_all", lambda self, mean: mean)
    if plain:
        fast.off()
    try:
        with pytest.raises(UserError, match="would not train this model as one does"):
            tried(parallel_small.Small, pytest.MonkeyPatch(), "dcgan")
    finally:
        fast.on()


def test_planted_an_optimizer_that_forgets_the_others_is_found(monkeypatch):
    """Without the mean, the weights part at the first step; the look after it names the first array."""

    def work(rank):
        settings = parallel_small.Settings()
        model = parallel_small.Small(settings, (8, 8, 1), np.random.default_rng(1))
        batches = Batches(model.load_data(settings), batch_size=12, rng=np.random.default_rng(2))
        together.demand_same(model, batches, 0)
        model.step(batches)
        together.demand_same(model, batches, 1)

    monkeypatch.setattr(parallel.Group, "mean", lambda self, array: array)
    with pytest.raises(TrainingError, match=r"At step 1, G/0\.W of process 1 is not that of process 0"):
        emulate(2, work, pytest.MonkeyPatch())


def test_noise_of_the_device_is_refused(monkeypatch):
    settings = parallel_small.Settings(device_noise=True)
    with pytest.raises(UserError, match="--device-noise is for one process"):
        emulate(2, lambda rank: together.demand_possible(settings), monkeypatch)
