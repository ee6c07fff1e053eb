"""What is said at the end of a training that failed with finite numbers, and that nothing is said of a good one."""

import re
import signal
from pathlib import Path

import numpy as np
import pytest
from training_tiny import Settings, Tiny

from scratchgan import training
from scratchgan.data import Batches
from scratchgan.data.mixtures import grid, ring
from scratchgan.training import verdict

PAGE = Path(__file__).parent.parent / "docs" / "failures.md"
SENTENCES = [verdict.D_HAS_WON, verdict.SATURATED, verdict.BLOWN_UP, verdict.ONE, verdict.FEW, verdict.MODES,
             verdict.NOTHING]  # fmt: skip
NOISE = np.random.default_rng(0)
UNTRAINED = NOISE.integers(100, 150, (64, 28, 28, 1), dtype=np.uint8)
MEAN = {"D": 2 * np.log(2), "G": np.log(2)}
PLAYING = [{"step": step, "D": 1.3, "G": 0.7} for step in range(25, 1001, 25)]


@pytest.fixture(scope="module")
def pictures():
    """Return black and white patterns with some greys, (128, 28, 28, 1)."""
    patterns = np.kron(NOISE.random((128, 4, 4, 1)), np.ones((1, 7, 7, 1)))
    return np.uint8(np.clip(2000 * (patterns - 0.7), 0, 255))


class Drawn(training.Model):
    """A model whose samples are given, whatever z is."""

    def __init__(self, samples, mixture=None, equilibrium=MEAN):
        super().__init__(training.Settings(device="cpu"), samples.shape[1:], np.random.default_rng(0))
        self.samples, self.of, self.where = samples, mixture, equilibrium

    def latent(self, n, rng):
        return rng.standard_normal((n, 2), dtype=np.float32)

    def generate(self, z):
        signed = self.samples[: len(z)]
        return signed.astype(np.float32) / 127.5 - 1 if signed.dtype == np.uint8 else signed

    def mixture(self):
        return self.of

    def equilibrium(self):
        return self.where


def look(samples, untrained, real, records=PLAYING, **options):
    batches = Batches(real, batch_size=8, rng=np.random.default_rng(0))
    return verdict.look(Drawn(samples, **options), lambda: Drawn(untrained), batches, records)


def says(sentence, text):
    """Whether a text holds a sentence of the verdict, with numbers in it."""
    return re.search(pattern(sentence), text or "")


def pattern(sentence):
    return r"It looks " + re.sub(r"\\{.*?\\}", r"[-+.e\\d]+", re.escape(sentence)) + r" \(docs/failures\.md\)\."


# ---- pictures ----------------------------------------------------------------------------------------------


def test_pictures_like_the_real_ones_are_passed_over(pictures):
    assert look(pictures[64:], UNTRAINED, pictures[:64]) is None


def test_pictures_on_their_way_are_passed_over(pictures):
    half = np.uint8(0.3 * pictures[64:] + 0.7 * UNTRAINED)
    assert look(half, UNTRAINED, pictures[:64]) is None


def test_nothing_learned(pictures):
    assert says(verdict.NOTHING, look(UNTRAINED, UNTRAINED, pictures))


def test_one_picture(pictures):
    near = np.clip(pictures[:1] + NOISE.normal(0, 3, (64, 28, 28, 1)), 0, 255).astype(np.uint8)
    assert says(verdict.ONE, look(near, UNTRAINED, pictures))


def test_a_few_pictures(pictures):
    assert says(verdict.FEW, look(np.repeat(pictures[:8], 8, axis=0), UNTRAINED, pictures[64:]))


def test_a_few_pictures_are_right_where_the_data_have_no_more(pictures):
    few = np.repeat(pictures[:8], 8, axis=0)
    assert look(few, UNTRAINED, few) is None
    one = np.repeat(pictures[:1], 64, axis=0)
    assert look(one, UNTRAINED, one) is None


def test_black_and_white_noise(pictures):
    noise = np.uint8(255) * (NOISE.random((64, 28, 28, 1)) < 0.9)
    assert says(verdict.SATURATED, look(noise, UNTRAINED, pictures))


def test_black_and_white_pictures_are_right_where_the_data_are(pictures):
    binary = np.uint8(255) * (pictures > 127)
    assert look(binary[64:], UNTRAINED, binary[:64]) is None
    assert look(binary[64:], UNTRAINED, pictures[:64]) is None  # near enough to those with greys


# ---- the losses --------------------------------------------------------------------------------------------


LOST = [{"step": step, "D": 1e-5, "G": 12.0} for step in range(25, 1001, 25)]


def noise_elsewhere():
    return 255 - NOISE.integers(0, 50, (64, 28, 28, 1), dtype=np.uint8)


def test_d_has_won(pictures):
    assert says(verdict.D_HAS_WON, look(noise_elsewhere(), UNTRAINED, pictures, LOST))


def test_a_loss_of_nothing_is_passed_over_where_samples_come_near(pictures):
    half = np.uint8(0.3 * pictures[64:] + 0.7 * UNTRAINED)
    assert look(half, UNTRAINED, pictures[:64], LOST) is None


def test_an_easy_win_at_the_beginning_is_passed_over(pictures):
    assert look(noise_elsewhere(), UNTRAINED, pictures, LOST[:18] + PLAYING[18:]) is None
    assert look(noise_elsewhere(), UNTRAINED, pictures, PLAYING[:38] + LOST[38:]) is None  # nor a moment at the end


@pytest.mark.parametrize("equilibrium", [{}, {"D": 0.0}])
def test_the_loss_of_a_critic_tells_nothing(pictures, equilibrium):
    for D in (-1e6, 0.0, 1e-9, 1e6):
        records = [record | {"D": D} for record in LOST]
        assert look(noise_elsewhere(), UNTRAINED, pictures, records, equilibrium=equilibrium) is None


# ---- points ------------------------------------------------------------------------------------------------


def points(*modes, n=1000, std=0.02):
    centers = ring().centers[list(modes)]
    return np.float32(centers[np.arange(n) % len(modes)] + NOISE.normal(0, std, (n, 2)))


START = np.float32(NOISE.normal(0, 0.3, (1000, 2)))
REAL = points(*range(8))


def test_modes_that_are_missing():
    text = look(points(3), START, REAL, mixture=ring())
    assert says(verdict.MODES, text) and "1 of 8" in text


def test_modes_that_are_there_or_on_their_way():
    assert look(points(*range(8)), START, REAL, mixture=ring()) is None
    assert look(points(3, std=0.3), START, REAL, mixture=ring()) is None  # of no quality: they are still on their way
    assert look(points(0, 2, 4, 6), START, REAL, mixture=ring()) is None


def test_a_start_at_a_mode_is_passed_over():
    """As a generator of small weights has it on the grid."""
    near = np.float32(NOISE.normal(0, 0.05, (2, 1000, 2)))
    real = grid().sample(1000, NOISE)
    assert look(near[0], near[1], real, mixture=grid()) is None
    assert says(verdict.MODES, look(near[0] + np.float32(2), near[1], real, mixture=grid()))


def test_points_in_one_place_without_modes_to_count():
    assert says(verdict.ONE, look(points(3), START, REAL))
    assert look(points(3, 4), START, REAL) is None


def test_points_in_one_place_that_is_no_mode():
    assert says(verdict.ONE, look(points(3) + np.float32(0.3), START, REAL, mixture=ring()))


def test_points_that_are_far_away_or_nowhere():
    assert says(verdict.BLOWN_UP, look(100 * REAL, START, REAL, mixture=ring()))
    assert says(verdict.BLOWN_UP, look(np.where(REAL > 1, np.float32("inf"), REAL), START, REAL, mixture=ring()))


# ---- what is passed over -----------------------------------------------------------------------------------


def test_a_young_training_is_passed_over(pictures):
    young = [{"step": step, "D": 0.0, "G": 9.0} for step in (0, 25, 175)]
    assert look(UNTRAINED, UNTRAINED, pictures, young) is None
    assert look(UNTRAINED, UNTRAINED, pictures, []) is None


def test_samples_that_are_neither_pictures_nor_points_are_passed_over(pictures):
    sounds = np.zeros((1000, 40, 1), np.float32)
    assert look(sounds, sounds, sounds) is None
    assert look(UNTRAINED, UNTRAINED, pictures.astype(np.float32)) is None  # of which range?
    assert look(UNTRAINED, UNTRAINED, pictures[:1]) is None


def test_a_start_from_nearly_equal_pictures_is_passed_over(pictures):
    """As DCGAN has it: its first weights are small, so that its samples differ little, and then more and more."""
    equal = lambda spread: np.uint8(128 + NOISE.normal(0, spread, (64, 28, 28, 1)))
    assert look(equal(4), equal(1), pictures) is None
    assert look(equal(3), equal(6), pictures) is None  # or less, for a while
    assert says(verdict.ONE, look(equal(1), equal(10), pictures))


# ---- at the end of a run -----------------------------------------------------------------------------------


@pytest.fixture
def grown_up(monkeypatch):
    """Let a training be old enough after 20 steps."""
    monkeypatch.setattr(verdict, "LEAST_STEPS", 20)


def test_a_run_says_it_before_it_is_done(grown_up, tmp_path, capsys):
    training.train(Tiny, Settings(out=str(tmp_path / "run"), steps=20, lr=1e-9))
    out = capsys.readouterr().out
    assert says(verdict.NOTHING, out) and out.index("It looks") < out.index("done:")


def test_a_run_that_learns_says_nothing(grown_up, tmp_path, capsys):
    training.train(Tiny, Settings(out=str(tmp_path / "run"), steps=20, lr=1e-3))
    assert "It looks" not in capsys.readouterr().out


class Stopping(Tiny):
    def step(self, batches):
        if self.taken == 20:
            signal.raise_signal(signal.SIGINT)
        return super().step(batches)


def test_a_run_that_is_stopped_says_it(grown_up, tmp_path, capsys):
    with pytest.raises(training.Stopped):
        training.train(Stopping, Settings(out=str(tmp_path / "run"), steps=30, lr=1e-9, log_every=1))
    assert says(verdict.NOTHING, capsys.readouterr().out)


class Unwilling(Tiny):
    def images(self, z):
        if self.taken in (0, 20):  # in the untrained model, or at the end
            raise RuntimeError("no picture of these")
        return super().images(z)

    def picture(self, z):
        return np.zeros((2, 2, 1), np.uint8)


def test_a_model_that_cannot_be_judged_is_no_failure(grown_up, tmp_path, capsys):
    training.train(Unwilling, Settings(out=str(tmp_path / "run"), steps=20, lr=1e-9))
    out = capsys.readouterr().out
    assert "It looks" not in out and "done:" in out


class Noisy(Tiny):
    def generate(self, z):
        return super().generate(z + self.noise(len(z)) / 1000)


def test_looking_changes_nothing():
    model = Noisy(Settings(), (8, 8, 1), np.random.default_rng(0))
    model.remember_as_built()
    batches = Batches(Tiny.load_data(Settings()), batch_size=8, rng=np.random.default_rng(1))
    before = model.state() | batches.state()
    untrained = Noisy(Settings(), (8, 8, 1), np.random.default_rng(0))
    assert verdict.look(model, lambda: untrained, batches, PLAYING)
    after = model.state() | batches.state()
    assert before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)


# ---- the page ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page():
    """Return the page as one line."""
    return re.sub(r"\s+", " ", PAGE.read_text(encoding="utf-8").replace("\n> ", "\n"))


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_page_quotes_the_sentence(page, sentence):
    assert says(sentence, page), sentence


def test_the_page_quotes_no_other_sentence(page):
    for quote in re.findall(r"It looks .*?\.md\)\.", page):
        assert any(says(sentence, quote) for sentence in SENTENCES), quote
