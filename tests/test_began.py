"""BEGAN: both steps against the paper, the control of k, bugs that were published, and the figures of docs/ebgan.md."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from objectives import follows
from PIL import Image
from test_examples import real_samples, start

from scratchgan import losses, training
from scratchgan.examples.relatives import began, ebgan

# ---- the game ----------------------------------------------------------------------------------------------


def absolute(x):
    """|x|, whose derivative at 0 is taken to be 0: some pixels begin as 0, in G(z) and in what D draws of it."""
    return np.sign(x.real) * x


def l1(D, x):
    return absolute(D.forward(x)[0] - x).mean()


def began_D(k):
    return lambda G, D, draw, real: l1(D, real) - k * l1(D, G.forward(draw())[0])


def began_G(G, D, draw, real):
    return l1(D, G.forward(draw())[0])


def demand_began(Model=began.BEGAN, decoder=False):
    """Fail unless both steps of a BEGAN descend what the paper says, for a k within (0, 1)."""
    model, _ = start("began", decoder=decoder)
    model.__class__ = Model
    real = real_samples(model, 6)
    model.k = np.array(0.4)
    follows(model, "D", lambda real: model.discriminator_step(real), [real], began_D(0.4), lambda said: float(said[0]))
    follows(model, "G", lambda real: model.generator_step(len(real)), [real], began_G, float)


@pytest.mark.parametrize("decoder", [False, True])
def test_both_steps_of_began_follow_its_paper(decoder):
    demand_began(decoder=decoder)


class DetachedBEGAN(began.BEGAN):
    def generator_step(self, n):
        fake, G_tape = self.G.forward(self.noise(n))
        drawn, D_tape = self.D.forward(fake)
        loss, d_drawn = losses.l1(drawn, fake)
        d_fake, _ = self.D.pull(D_tape, d_drawn)
        self.G.accumulate(G_tape, d_fake)
        self.opt_G.step()
        return loss


class NoK(began.BEGAN):
    """D raises L(G(z)) as strongly as it lowers L(x)."""

    def discriminator_step(self, real):
        k, self.k = self.k, 1.0
        loss = super().discriminator_step(real)
        self.k = k
        return loss


@pytest.mark.parametrize("Model", [DetachedBEGAN, NoK], ids=lambda Model: Model.__name__)
def test_a_planted_bug_of_began_is_caught(Model):
    with pytest.raises(AssertionError):
        demand_began(Model)


# ---- k -----------------------------------------------------------------------------------------------------

SCRIPT = [(0.5, 0.1), (0.4, 0.3), (0.6, 0.05), (0.9, 0.0), (0.1, 0.9)]  # L(x), L(G(z_G)) of five steps


def demand_control(Model, gain=2.0, gamma=0.5):
    """Fail unless k follows the paper: after the losses of its step, with their values, within [0, 1]."""
    model, _ = start("began", gain=gain, gamma=gamma)
    model.__class__ = Model
    seen, k = [], 0.0

    def discriminator_step(real):
        seen.append(float(model.k))
        model.rng.random()  # the fresh noise of D's samples
        return np.float32(0), np.float32(SCRIPT[len(seen) - 1][0])

    model.discriminator_step = discriminator_step
    model.generator_step = lambda n: np.float32(SCRIPT[len(seen) - 1][1])

    class Batches:
        next = staticmethod(lambda: np.zeros((6, 28, 28, 1), np.uint8))

    for real_loss, fake_loss in SCRIPT:
        printed = model.step(Batches)
        assert seen[-1] == pytest.approx(k, abs=1e-6)
        k = min(max(k + gain * (gamma * real_loss - fake_loss), 0), 1)
        assert float(printed["k"]) == float(model.k) == pytest.approx(k, abs=1e-6)
        wanted = real_loss + abs(gamma * real_loss - fake_loss)
        assert float(printed["M"]) == pytest.approx(wanted, abs=1e-6)


def test_k_is_controlled_as_published():
    demand_control(began.BEGAN)


def stepping(update):
    """Return a BEGAN whose step is update(model, real) -> printed."""

    class Planted(began.BEGAN):
        def step(self, batches):
            return update(self, batches.next())

    return Planted


def control(model, real_loss, fake_loss, sign=1, ends=(0, 1)):
    balance = model.settings.gamma * real_loss - fake_loss
    model.k = np.asarray(np.clip(model.k + sign * model.settings.gain * balance, *ends))
    return real_loss + abs(balance)


def unclipped(model, real):
    _, real_loss = model.discriminator_step(real)
    M = control(model, real_loss, model.generator_step(len(real)), ends=(-9, 9))
    return {"k": model.k, "M": M}


def turned_round(model, real):
    _, real_loss = model.discriminator_step(real)
    M = control(model, real_loss, model.generator_step(len(real)), sign=-1)
    return {"k": model.k, "M": M}


def before_its_losses(model, real):
    old = getattr(model, "old", (0.0, 0.0))
    control(model, *old)
    _, real_loss = model.discriminator_step(real)
    model.old = real_loss, model.generator_step(len(real))
    return {"k": model.k, "M": real_loss + abs(model.settings.gamma * real_loss - model.old[1])}


def of_the_step_before(model, real):
    """G's loss is that of fakes from before G's step."""
    old = getattr(model, "old", 0.0)
    _, real_loss = model.discriminator_step(real)
    model.old = model.generator_step(len(real))
    return {"k": model.k, "M": control(model, real_loss, old)}


@pytest.mark.parametrize("update", [unclipped, turned_round, before_its_losses, of_the_step_before])
def test_a_planted_control_is_caught(update):
    with pytest.raises(AssertionError):
        demand_control(stepping(update))


def test_G_and_D_get_noise_of_their_own():
    """One public BEGAN gives G's loss of the samples that D has just seen."""
    model, batches = start("began")
    given, noise = [], model.noise
    model.noise = lambda n: given.append(noise(n)) or given[-1]
    model.step(batches)
    assert len(given) == 2 and not np.array_equal(*given)
    assert all(z.min() >= -1 and z.max() <= 1 and z.dtype == np.float32 for z in given)
    assert np.abs(np.concatenate(given).std() - 3**-0.5) < 0.03


def test_k_is_in_the_state_of_a_run():
    """tests/test_examples.py resumes one bit for bit; here k itself."""
    model, batches = start("began", gain=0.2)
    for _ in range(3):
        printed = model.step(batches)
    other, _ = start("began", gain=0.2)
    assert 0 < float(model.k) < 1 and float(other.k) == 0
    other.load_state(model.state())
    assert float(other.k) == float(model.k) == float(printed["k"])
    assert other.k.dtype == np.float32


# ---- the figures -------------------------------------------------------------------------------------------

FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "ebgan.py"


def test_pictures_of_runs_of_both_examples_side_by_side(tmp_path):
    for module, Model in ((ebgan, ebgan.EBGAN), (began, began.BEGAN)):
        name = module.__name__.rpartition(".")[2]
        options = {"steps": 1, "batch_size": 4, "width": 2, "threads": 1, "device": "cpu"}
        training.train(Model, module.Settings(out=str(tmp_path / name), **options))
    main = runpy.run_path(str(FIGURE))["main"]
    main(["--runs", str(tmp_path / "ebgan"), str(tmp_path / "began"), "--out", str(tmp_path)])
    width, height = Image.open(tmp_path / "ebgan.png").size
    assert width == 2 * height + 8
    for wrong, message in (([], None), (["--measure", str(tmp_path / "began")], "train with --evaluate-every")):
        with pytest.raises(SystemExit) as stop:
            main([*wrong, "--out", str(tmp_path)])
        assert message is None or message in str(stop.value.code)


def test_M_is_compared_with_the_distance_that_was_measured(tmp_path, capsys):
    """M between two evaluations is a mean; the correlation is that of ranks."""
    run = tmp_path / "run"
    run.mkdir()
    records = []
    for step, M, fid in ((1, 0.5, None), (2, 0.3, 900), (3, 0.2, None), (4, 0.2, 400), (5, 0.3, 950), (6, 0.1, 100)):
        report = {} if fid is None else {"report": {"FID-LeNet": fid}}
        records.append({"step": step, "D": 0.1, "G": 0.1, "k": 0.01, "M": M, **report})
    (run / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    runpy.run_path(str(FIGURE))["main"](["--measure", str(run), "--out", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "step      2: M 0.4000, k 0.010, FID-LeNet 900.0" and len(lines) == 5
    assert lines[-1] == "rank correlation of M and FID-LeNet: 0.80"
    assert min(Image.open(tmp_path / "began.png").size) > 200
