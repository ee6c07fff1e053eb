"""Font style: what its pictures show, what is measured of it, its commands, and going on where it stopped."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoints import held
from PIL import Image
from test_font_style import SMALL, batches, small

from scratchgan import data, training, xp
from scratchgan.data import faces, glyphs
from scratchgan.examples.translation import font_style
from scratchgan.metrics import classifier, pixels
from scratchgan.tools.strict import strict_xp
from scratchgan.training import loop, styles

SCRIPT = Path(__file__).parent.parent / "examples" / "translation" / "font_style.py"


@pytest.fixture
def few(monkeypatch):
    """Let ten digits do: a face's characters take a while to be drawn for the first time."""
    monkeypatch.setattr(glyphs, "CHARACTERS", "0123456789")
    monkeypatch.setattr(styles, "REPORTED", 12)
    monkeypatch.setattr(training.translation, "REPORTED", 12)
    clear()
    yield
    clear()


def clear():
    styles.draw_once.cache_clear()
    training.translation.load_once.cache_clear()


def test_a_picture_shows_content_style_output_and_truth(few):
    model, _ = small()
    z = xp.to_device(model.latent(5, np.random.default_rng(0)))
    content, *shown, outputs, truths = model.columns(z)
    assert len(shown) == 2 and model.shown == ("content", "style", "style", "output", "truth")
    np.testing.assert_array_equal(truths, data.to_bytes(xp.to_host(z[..., -1:])))
    np.testing.assert_array_equal(content, data.to_bytes(xp.to_host(z[..., :1])))
    np.testing.assert_array_equal(outputs, data.to_bytes(xp.to_host(model.translate(z[..., :-1]))))
    assert model.layout(5)[1] % 5 == 0
    assert len(model.latent(50, np.random.default_rng(0))) == 50  # more than there are


def test_a_walk_keeps_the_content_and_moves_the_style(few, monkeypatch):
    model, _ = small()
    z = xp.to_device(model.latent(6, np.random.default_rng(0)))  # two walks of three steps
    drawn = []
    monkeypatch.setattr(font_style.plots, "grid", lambda images, columns: drawn.append((images, columns)))
    model.walk(z, 3)
    (images, columns) = drawn[0]
    assert columns == 3 and images.shape == (6, 28, 28, 1)
    last = z[[2, 5]][..., :-1].copy()
    last[..., :1] = z[[0, 3]][..., :1]  # the content of the first, the style glyphs of the last
    expected = model.translated(data.to_bytes(last))
    assert np.abs(images[[2, 5]].astype(int) - expected).max() <= 1
    assert np.abs(images[[0, 3]].astype(int) - model.images(z[[0, 3]])).max() <= 1


def test_three_kinds_of_test_glyphs_are_measured(few):
    model, _ = small()
    found = model.comparisons(5)
    assert list(found) == ["new pairs", "new characters", "new faces"]
    for name, pair in found.items():
        tests = faces.load(5, split=name, styles=2)
        np.testing.assert_array_equal(pair.truths, tests.truths)
        np.testing.assert_array_equal(pair.inputs, tests.inputs[..., :1])
        np.testing.assert_array_equal(pair.outputs, model.translated(tests.inputs))
        np.testing.assert_array_equal(pair.labels, tests.characters)
    assert set(model.report()) == {f"PSNR {name}" for name in found}


def test_the_nearest_glyph_of_a_face():
    """A training glyph of the wanted face; of a face that has none, one of the style glyphs."""
    rng = np.random.default_rng(0)
    picture = lambda *shape: rng.integers(0, 256, shape, dtype=np.uint8)
    known = faces.Styled(picture(6, 8, 8, 1), picture(6, 8, 8, 3), np.array([1, 1, 2, 2, 2, 1]), np.zeros(6, int))
    inputs = picture(3, 8, 8, 3)
    inputs[0, ..., 0], inputs[1, ..., 0], inputs[2, ..., 0] = known.truths[3, ..., 0], known.truths[3, ..., 0], 7
    inputs[2, ..., 2] = 9
    tests = faces.Styled(picture(3, 8, 8, 1), inputs, np.array([2, 1, 5]), np.zeros(3, int))
    found = styles.nearest(tests, known)
    np.testing.assert_array_equal(found[0], known.truths[3])
    assert any((found[1] == known.truths[row]).all() for row in (0, 1, 5))
    assert (found[2] == 9).all()


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as left:
        return left.code
    return 0


def test_the_command_line(few, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = [f"--{name}={value}" for name, value in SMALL.items()]
    assert call(monkeypatch, "--steps", 2, "--batch-size", 4, "--threads", 1, *options) == 0
    run = tmp_path / "runs" / "font_style"
    assert call(monkeypatch, "sample", run, "--n", 6) == 0
    assert call(monkeypatch, "interpolate", run, "--n", 2, "--steps", 3) == 0
    with Image.open(run / "walk.png") as picture:
        assert picture.size == (3 * 30 + 2, 2 * 30 + 2)
    capsys.readouterr()
    assert call(monkeypatch, "recognise", run) == 2
    assert "classifier.py --data characters" in capsys.readouterr().err
    for name, classes in (("characters", 62), ("faces", 20)):
        net = classifier.lenet((28, 28, 1), classes, rng=np.random.default_rng(0))
        classifier.save(classifier.Classifier(net, name, (28, 28, 1)))
    assert call(monkeypatch, "evaluate", run, "--n", 12) == 0
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    assert {f"PSNR, dB, {name}" for name in faces.SPLITS[1:]} <= set(metrics)
    assert call(monkeypatch, "recognise", run, "--n", 12, "--styles", 1, "--out", tmp_path / "one.json") == 0
    assert json.loads((tmp_path / "one.json").read_text())["styles"] == 1
    assert call(monkeypatch, "recognise", run, "--n", 12) == 0
    numbers = json.loads((run / "recognised.json").read_text())
    tests = faces.load(12, split="new faces", styles=2)
    found = numbers["new faces"]
    assert found["truth"]["PSNR"] is None and list(found) == ["truth", "output", "plain", "nearest"]
    assert found["plain"]["PSNR"] == pytest.approx(pixels.psnr(tests.inputs[..., :1], tests.truths).mean())
    assert metrics["PSNR, dB, new faces"]["input"] == pytest.approx(found["plain"]["PSNR"])
    assert metrics["PSNR, dB, new faces"]["value"] == pytest.approx(found["output"]["PSNR"])


@pytest.mark.parametrize("arguments, message", [
    (["--styles", 0], "--styles: must be at least 1"),
    (["--styles", 9], "There are no 9 other characters of each face to tell of it."),
    (["--data", "mnist"], "--data: must be one of glyphs, not 'mnist'"),
])  # fmt: skip
def test_what_cannot_be_done_is_said_in_a_line(few, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--steps", 1, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1] and not list(tmp_path.glob("runs/*"))


def test_going_on_is_exact(few, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "closing_pictures", lambda run: None)

    def arrays_of(name, steps, **more):
        settings = font_style.Settings(steps=steps, out=str(tmp_path / name), batch_size=4, threads=1, **SMALL)
        training.train(font_style.FontStyle, settings, **more)
        return held(tmp_path / name)

    straight = arrays_of("straight", 3)
    arrays_of("stopped", 1)
    resumed = arrays_of("stopped", 3, resume=tmp_path / "stopped")
    assert resumed.keys() == straight.keys()
    for path, array in straight.items():
        np.testing.assert_array_equal(array, resumed[path], err_msg=path)


def test_a_step_never_waits_for_a_device(few):
    with xp.using(strict_xp):
        model, (x, inputs, f) = small()
        told = batches([loop.on_device(part) for part in (data.to_bytes(x), data.to_bytes(inputs), f)])
        model.step(told)
        with strict_xp.counting() as counts:
            said = model.step(told)
        assert counts.synchronisations == 0, counts
        assert all(loss.shape == () for loss in said.values())
        assert model.picture(xp.to_device(model.latent(2, np.random.default_rng(0)))).dtype == np.uint8
