"""What a user sees before a run has ended: early pictures, samples.png and losses.png, renewed as the run goes."""

import numpy as np
from PIL import Image
from training_tiny import Settings, Tiny

from scratchgan import training
from scratchgan.training import checkpoint


class Watched(Tiny):
    """Notes down, at each step, which files there are and how they look."""

    def step(self, batches):
        here = self.settings.out
        names = [f"{here}/{name}.png" for name in ("samples", "losses")]
        seen.append([read(name) for name in names])
        return super().step(batches)


seen = []


def read(path):
    try:
        return open(path, "rb").read()
    except FileNotFoundError:
        return None


def train(tmp_path, name="a", Model=Watched, **options):
    seen.clear()
    training.train(Model, Settings(out=str(tmp_path / name), log_every=10, **options))
    return tmp_path / name


def steps(path):
    return [int(frame.stem[5:]) for frame in sorted((path / "samples").iterdir())]


def test_early_pictures_stand_at_powers_of_two_below_the_first_regular_one(tmp_path):
    assert steps(train(tmp_path, "a", steps=160, sample_every=150)) == [0, 64, 128, 150, 160]
    assert steps(train(tmp_path, "b", steps=70, sample_every=60)) == [0, 60, 70]
    assert steps(train(tmp_path, "c", steps=64, sample_every=1000)) == [0, 64]


def test_early_pictures_change_nothing_in_the_training(tmp_path, monkeypatch):
    early = train(tmp_path, "a", steps=130, sample_every=1000)
    monkeypatch.setattr(training.loop, "FIRST_PICTURE", 10_000)
    late = train(tmp_path, "b", steps=130, sample_every=1000)
    assert steps(early) == [0, 64, 128, 130] and steps(late) == [0, 130]
    one, other = (checkpoint.load(path / "checkpoint.npz")[0] for path in (early, late))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_samples_are_renewed_at_every_picture_and_losses_as_soon_as_there_are_some(tmp_path):
    path = train(tmp_path, steps=130, sample_every=1000)
    samples, losses = zip(*seen, strict=True)
    frames = {step: (path / "samples" / f"step-{step:06}.png").read_bytes() for step in steps(path)}
    assert len(set(frames.values())) == 4
    for step in range(130):
        assert samples[step] == frames[max(number for number in frames if number <= step)], step
    assert losses[:64] == (None,) * 64 and None not in losses[64:]
    assert losses[64] == losses[129]  # the next one would take more than 1 % of so short a time
    assert (path / "losses.png").read_bytes() != losses[129]
    assert Image.open(path / "losses.png").size[0] == 800


def test_losses_are_renewed_again_when_a_hundred_times_their_time_has_passed(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(training.loop.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(training.loop.plots, "animation", lambda *arguments: None)
    drawn = []

    def losses(log, path):
        drawn.append(round(now[0], 3))
        now[0] += 0.25
        path.write_bytes(b"")

    class Slow(Tiny):
        def step(self, batches):
            now[0] += 1.0
            return super().step(batches)

    monkeypatch.setattr(training.loop.plots, "losses", losses)
    train(tmp_path, Model=Slow, steps=60, sample_every=1)
    assert drawn == [1.0, 27.25, 53.5, 60.75]  # the last one belongs to the end
