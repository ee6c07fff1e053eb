"""--plain computes what the fast code computes, with the code that is read; and who gets a CPU's processors."""

from pathlib import Path

import numpy as np
import pytest
from training_tiny import Settings, Tiny

from scratchgan import fast, training
from scratchgan.fast import threads
from scratchgan.layers import BatchNorm, Conv2d, Dense, Flatten, LeakyReLU, Sequential, conv
from scratchgan.optim import Adam
from scratchgan.plots import read_log
from scratchgan.training import checkpoint

STEPS = 12


class Convolutional(Tiny):
    """Tiny with a convolution, a batch norm and an activation in D, all of which have faster twins."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.D = Sequential(
            Conv2d(1, 4, 4, stride=2, padding=1, rng=rng), BatchNorm(4), LeakyReLU(0.2),
            Flatten(), Dense(64, 1, rng=rng),
        )  # fmt: skip
        self.opt_D = Adam(self.D.params(), settings.lr)


def train(path, Model=Convolutional, **changes):
    training.train(Model, Settings(**({"steps": STEPS, "log_every": 1, "out": str(path)} | changes)))
    return [[line["D"], line["G"]] for line in read_log(path / "log.jsonl") if "D" in line]


def entered(monkeypatch):
    """Return a set to which each step adds the file of the convolution that it would call."""
    files, step = set(), Tiny.step

    def noted(model, batches):
        files.add(Path(conv.correlate.__code__.co_filename).relative_to(Path(conv.__file__).parents[1]).as_posix())
        return step(model, batches)

    monkeypatch.setattr(Tiny, "step", noted)
    return files


def test_the_losses_are_the_same_but_for_rounding(tmp_path, monkeypatch):
    files = entered(monkeypatch)
    with_twins = train(tmp_path / "fast")
    assert files == {"fast/convolution.py"}
    files.clear()
    plain = train(tmp_path / "plain", plain=True)
    assert files == {"layers/conv.py"}
    assert len(plain) == len(with_twins) == STEPS
    np.testing.assert_allclose(plain, with_twins, rtol=1e-4)


def test_the_twins_are_back_afterwards_whatever_happens(tmp_path):
    train(tmp_path / "plain", plain=True)
    assert fast.is_on()

    class Broken(Tiny):
        def step(self, batches):
            assert not fast.is_on()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "broken", Broken, plain=True)
    assert fast.is_on()


def test_who_has_turned_the_twins_off_keeps_them_off(tmp_path):
    with fast.plain():
        train(tmp_path / "off")
        assert not fast.is_on()


def test_a_resumed_run_stays_plain_until_it_is_told_otherwise(tmp_path, monkeypatch):
    files = entered(monkeypatch)
    main = lambda *arguments: training.main(Convolutional, Settings, [*arguments])
    run = str(tmp_path / "run")
    main("--plain", "--steps", "2", "--out", run)
    main("--resume", run, "--steps", "4")
    assert files == {"layers/conv.py"}
    main("--resume", run, "--steps", "6", "--no-plain")
    assert files == {"layers/conv.py", "fast/convolution.py"}
    assert checkpoint.load(tmp_path / "run" / "checkpoint.npz")[1]["settings"]["plain"] is False


def test_a_checkpoint_from_before_there_was_the_option_is_resumed(tmp_path):
    path = tmp_path / "run"
    train(path, steps=2)
    arrays, meta = checkpoint.load(path / "checkpoint.npz")
    del meta["settings"]["plain"]
    checkpoint.save(path / "checkpoint.npz", arrays, meta)
    training.main(Convolutional, Settings, ["--resume", str(path), "--steps", "4"])
    assert checkpoint.load(path / "checkpoint.npz")[1]["step"] == 4


@pytest.mark.parametrize(
    "Model, plain, blas", [(Tiny, False, True), (Convolutional, False, False), (Convolutional, True, True)]
)
def test_the_processors_go_to_blocks_where_there_are_convolutions(tmp_path, monkeypatch, Model, plain, blas):
    asked = []
    monkeypatch.setattr(threads, "processors", lambda: 4)
    monkeypatch.setattr(threads, "use", lambda count, *, blas: asked.append((count, blas)))
    train(tmp_path / "run", Model, plain=plain, threads=3, steps=1)
    assert asked == [(3, blas)]
