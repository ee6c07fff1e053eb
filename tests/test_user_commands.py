"""`sample` and `interpolate`: single pictures, larger pixels, and what is too much is refused before it is drawn."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_training_cli import error_line, main
from training_tiny import Settings, Tiny

from scratchgan import plots, training, xp
from scratchgan.examples import cgan, gan2d
from scratchgan.support import costs
from scratchgan.training import command, drawing


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run of two steps."""
    folder = tmp_path_factory.mktemp("trained")
    training.train(Tiny, Settings(out=str(folder / "run"), steps=2))
    return folder


@pytest.fixture
def run(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return Path("run")


def pixels(path):
    return np.asarray(Image.open(path))


def enlarged(picture, scale):
    return np.kron(picture, np.ones((scale, scale), np.uint8))


def test_separate_pictures_are_those_of_the_grid_and_numbered(run, tmp_path, capsys):
    n = drawing.PIECE + 3  # more than are drawn at once
    main("sample", "run", "--n", n, "--seed", 4, "--separate", "--out", tmp_path / "some")
    assert f"wrote {n} pictures to {tmp_path / 'some'}" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "some").iterdir())
    assert names == [f"{number:06}.png" for number in range(n)]
    model = training.load_model(Tiny, Settings, run)
    images = model.images(model.latent(n, np.random.default_rng(4)))
    for number in (0, 1, n - 4, n - 1):
        found = pixels(tmp_path / "some" / f"{number:06}.png").astype(int)
        assert abs(found - images[number, ..., 0]).max() <= 1  # a product of other size may round otherwise
    assert [path.name for path in tmp_path.iterdir()] == ["some"]


def test_scale_makes_a_square_of_each_pixel(run, tmp_path):
    for scale in (1, 3):
        main("sample", "run", "--n", 5, "--scale", scale, "--out", tmp_path / f"grid{scale}.png")
        main("interpolate", "run", "--n", 2, "--steps", 3, "--scale", scale, "--out", tmp_path / f"walk{scale}.png")
        main("sample", "run", "--n", 2, "--scale", scale, "--separate", "--out", tmp_path / f"one{scale}")
    for name in ("grid{}.png", "walk{}.png", "one{}/000001.png"):
        small, large = (pixels(tmp_path / name.format(scale)) for scale in (1, 3))
        assert np.array_equal(large, enlarged(small, 3)) and np.ptp(small) > 0
    colours = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert np.array_equal(drawing.enlarge(colours, 2)[:, :, 1], enlarged(colours[..., 1], 2))


def test_separate_pictures_of_a_labelled_model_have_the_classes_in_turn():
    class Told(training.LabelledModel):
        def sample(self, z, labels):
            return xp.broadcast_to((labels / 5 - 1).reshape(-1, 1, 1, 1), (len(z), 2, 2, 1))

    model = Told(cgan.Settings(classes=3), (2, 2, 1), np.random.default_rng(0))
    z = np.zeros((5, 1))
    expected = [0, 1, 2, 0, 1, 2, 0, 1]
    found = np.concatenate([model.separate(z[:4], 0), model.separate(z[:4], 4)])[:, 0, 0, 0]
    assert abs(found - np.array(expected) / 5 * 127.5).max() <= 0.6
    assert model.layout(64) == (3, 21) and model.layout(2) == (3, 1)


def test_a_folder_that_is_there_is_not_written_to(run, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        main("sample", "run", "--separate", "--out", tmp_path / name, fails=2)
        assert "is there already: choose another --out" in error_line(capsys)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["a"]
    (tmp_path / "empty").mkdir()
    main("sample", "run", "--n", 2, "--separate", "--out", tmp_path / "empty")
    assert len(list((tmp_path / "empty").iterdir())) == 2


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_stops_in_the_middle_leaves_no_folder(run, tmp_path, monkeypatch, error):
    def stop(picture, path, written=[]):  # noqa: B006
        written.append(path)
        if len(written) == 3:
            raise error

    monkeypatch.setattr(Image.Image, "save", stop)
    main("sample", "run", "--separate", "--out", tmp_path / "some", fails=130 if error.args == () else 2)
    assert list(tmp_path.iterdir()) == []


def test_points_have_no_pictures_of_their_own(tmp_path):
    model = gan2d.GAN2D(gan2d.Settings(), (2,), np.random.default_rng(0))
    with pytest.raises(Exception, match=r"--separate needs images: .* the shape \(2,\)"):
        drawing.write_separately(model, 2, 1, tmp_path / "some", None)
    drawing.check(model, 100_000, model.layout(100_000), 1, tmp_path / "a.png", "--n")  # whose picture has one size


# ---- the cost is known first ----


@pytest.mark.parametrize("arguments, message", [
    (("interpolate", "run", "--n", 10_000, "--steps", 10_000),
     "100,000,000 samples are more than one picture can show, 100,000: lower --n or --steps"),
    (("sample", "run", "--n", 100_000, "--scale", 64),
     "would need 82.2 GB of memory, and 10 GB are free: lower --n or --scale"),
    (("sample", "run", "--n", 100_000, "--scale", 8, "--out", "a.webp"),
     "25,376 x 25,296 pixels is larger than .webp can hold, 16,383: write .png, or lower --n or --scale"),
    (("interpolate", "run", "--n", 1, "--steps", 7000, "--out", "a.jpg"), "70,002 x 12 pixels is larger than .jpg"),
])  # fmt: skip
def test_what_is_too_much_is_refused_before_a_sample_is_drawn(run, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(Tiny, "generate", None)
    monkeypatch.setattr(costs, "available", lambda: 10**10)
    before = sorted(os.listdir())
    main(*arguments, fails=2)
    assert message in error_line(capsys)
    assert sorted(os.listdir()) == before


@pytest.fixture
def peak():
    """A function that runs something and returns the bytes of memory that it needed at most."""

    def measure(action):
        tracemalloc.start()
        action()
        needed = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return needed

    return measure


@pytest.fixture
def model(run):
    return training.load_model(Tiny, Settings, run)


def test_the_memory_of_a_large_grid_is_as_announced(model, tmp_path, monkeypatch, peak):
    """Latent vectors, bytes of the images and the picture, but never floats of all images."""
    announced, out, n = [], tmp_path / "a.png", 20_000
    monkeypatch.setattr(drawing, "afford", lambda size, *words: announced.append(size))
    draw = lambda n: command.draw_samples(model, command.SampleOptions(n=n), out, model.latent)
    draw(2)  # what is loaded once is not counted
    needed = peak(lambda: draw(n))
    assert n * (4 * 4 + 8 * 8 + 10 * 10) < needed < announced[-1] + 500_000
    assert needed < 0.8 * n * 4 * 8 * 8  # the floats of all images


def test_the_memory_of_separate_pictures_does_not_grow_with_their_number(model, tmp_path, peak):
    latent = lambda n: model.latent(n, np.random.default_rng(0))
    few, many = (peak(lambda n=n: drawing.write_separately(model, n, 1, tmp_path / str(n), latent)) for n in (300, 900))
    assert many < few + 50_000  # 600 pictures have 38,000 bytes, 154,000 as floats
    assert len(list((tmp_path / "900").iterdir())) == 900


def test_a_picture_in_colour_counts_what_Pillow_makes_of_it(monkeypatch, tmp_path):
    announced = []
    monkeypatch.setattr(drawing, "afford", lambda size, *words: announced.append(size))
    for channels in (1, 3):
        model = Tiny(Settings(), (8, 8, channels), np.random.default_rng(0))
        drawing.check(model, 100, (10, 10), 1, tmp_path / "a.png", "--n")
    grey, colour = announced
    side = plots.grid(np.zeros((100, 8, 8, 1), np.uint8)).shape[0]
    assert grey == 100 * (3 * 16 + 2 * 64) + side**2 * 2 and colour == 100 * (3 * 16 + 2 * 192) + side**2 * 10
