"""Pictures: a grid, image files, the losses from a log, an animation."""

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scratchgan import plots
from scratchgan.support.errors import UserError


@given(
    N=st.integers(1, 30), H=st.integers(1, 5), W_=st.integers(1, 5), C=st.sampled_from([1, 3]),
    columns=st.none() | st.integers(1, 40), pad=st.integers(0, 3),
)  # fmt: skip
def test_every_image_has_its_place_in_the_grid(N, H, W_, C, columns, pad):
    images = np.random.default_rng(0).integers(0, 255, (N, H, W_, C), dtype=np.uint8)  # no pixel is white
    picture = plots.grid(images, columns, pad)
    across = (picture.shape[1] - pad) // (W_ + pad)
    assert picture.dtype == np.uint8 and picture.shape[2] == C
    assert across == (min(columns, N) if columns else int(np.ceil(np.sqrt(N))))
    seen = np.full_like(picture, 255)
    for i in range(N):
        top, left = pad + (i // across) * (H + pad), pad + (i % across) * (W_ + pad)
        seen[top : top + H, left : left + W_] = images[i]
    assert np.array_equal(picture, seen)  # and all else is white


@pytest.mark.parametrize("shape, dtype", [((0, 2, 2, 1), "uint8"), ((2, 2, 1), "uint8"), ((1, 2, 2, 1), "float32")])
def test_what_is_no_image_is_refused(shape, dtype):
    with pytest.raises(ValueError, match="uint8 images"):
        plots.grid(np.zeros(shape, dtype))


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_a_picture_file_holds_the_pixels(tmp_path, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    plots.save(picture, tmp_path / "a.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")).reshape(shape), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_picture_that_cannot_be_written_is_a_user_error(tmp_path):
    picture = np.zeros((2, 2, 1), np.uint8)
    for name, message in [("a", "no ending"), ("a.xyz", ".xyz is no picture"), ("none/a.png", "No such file")]:
        with pytest.raises(UserError, match=message):
            plots.save(picture, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# ---- losses ----


def write_log(path, n, report_every=10, tail=""):
    with open(path, "w") as file:
        for step in range(n):
            report = {"report": {"modes": step % 8, "undefined": None}} if step % report_every == 0 else {}
            file.write(json.dumps({"step": step, "seconds": 0.1, "D": 1 / (step + 1), "G": 0.5, **report}) + "\n")
        file.write(tail)


def test_curves_of_a_log(tmp_path):
    write_log(tmp_path / "log.jsonl", 21, tail='{"step": 21, "seconds": 3, "D"')
    curves, reports, equilibrium, others = plots.read_curves(tmp_path / "log.jsonl")
    assert equilibrium == {} and others == set()
    assert curves.keys() == {"D", "G"} and reports.keys() == {"modes"}
    assert [list(numbers) for numbers in curves["D"]] == [list(range(21)), [1 / (step + 1) for step in range(21)]]
    assert [list(numbers) for numbers in reports["modes"]] == [[0, 10, 20], [0, 2, 4]]


@pytest.mark.parametrize("tail", ["", "{", '{"step": 1', "\0\0\0", "[1]\n", '{"seconds": 1}\n', "\udcff\n"])
def test_a_log_with_a_damaged_line_is_read(tmp_path, tail):
    write_log(tmp_path / "log.jsonl", 3)
    with open(tmp_path / "log.jsonl", "ab") as file:
        file.write(tail.encode(errors="surrogateescape"))
    assert [record["step"] for record in plots.read_log(tmp_path / "log.jsonl")] == [0, 1, 2]


@pytest.mark.parametrize("n", [1, 2, 30, 500])
def test_losses_are_drawn(tmp_path, n):
    write_log(tmp_path / "log.jsonl", n)
    plots.losses(tmp_path / "log.jsonl", tmp_path / "losses.png")
    picture = np.asarray(Image.open(tmp_path / "losses.png").convert("RGB"))
    assert picture.shape == (700, 800, 3)
    assert all((picture == color).all(-1).any() for color in ([31, 119, 180], [255, 255, 255]))  # a curve, the paper


def test_a_log_without_losses_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="There is no file .*log.jsonl"):
        plots.losses(tmp_path / "log.jsonl", tmp_path / "losses.png")
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(UserError, match="no losses yet"):
        plots.losses(tmp_path / "log.jsonl", tmp_path / "losses.png")
    assert not (tmp_path / "losses.png").exists()


def test_matplotlib_is_loaded_when_it_draws_and_pyplot_never(tmp_path):
    code = "import sys; from scratchgan import training, plots; assert 'matplotlib.figure' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = (
        "import sys; from scratchgan import plots; open('log', 'w').write('{\"step\": 1, \"D\": 1.0}');"
        "plots.losses('log', 'a.png'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


GOOD = '{"step": 7, "seconds": 1.0, "D": 0.5}\n'
DAMAGED = {
    "a step below 0": '{"step": -5, "D": 1}',
    "a step too far": '{"step": 1000000000000000000000000000000, "D": 1}',
    "a step that is none": '{"step": NaN, "D": 1}',
    "a step that is true": '{"step": true, "D": 1}',
    "too large a number": '{"step": 1, "D": 1e999}',
    "too long a number": '{"step": 1, "D": 1' + "0" * 400 + "}",
    "an infinity": '{"step": 1, "D": Infinity}',
    "a report that is a list": '{"step": 1, "report": [1]}',
    "a report that is a number": '{"step": 1, "report": 5}',
    "nested": '{"step": 1, "D": ' + "[" * 100_000 + "}",
    "long": '{"step": 1, "D": "' + "a" * 3_000_000 + '"}',
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_lines_that_no_training_writes_are_passed_over(tmp_path, line):
    (tmp_path / "log.jsonl").write_text(GOOD + line + "\n" + GOOD)
    assert list(plots.read_log(tmp_path / "log.jsonl")) == 2 * [{"step": 7, "seconds": 1.0, "D": 0.5}]


def test_a_line_without_an_end_takes_no_memory(tmp_path):
    with open(tmp_path / "log.jsonl", "w+") as file:
        file.write(GOOD)
        file.truncate(200 * 10**6)
        file.seek(200 * 10**6)
        file.write("\n" + GOOD)
    tracemalloc.start()
    assert len(list(plots.read_log(tmp_path / "log.jsonl"))) == 2
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert memory < 5e6


def test_of_many_curves_some_are_drawn(tmp_path, monkeypatch):
    """3,000 names would make a legend of gigabytes, and 3,000 numbers of a report a picture of them."""
    monkeypatch.setattr(plots, "MOST_CURVES", 2)
    names = [f"n{number}" for number in range(3000)]
    record = {"step": 1, **dict.fromkeys(names, 1.0), "report": dict.fromkeys(names[:50], 2.0)}
    (tmp_path / "log.jsonl").write_text(2 * (json.dumps(record) + "\n"))
    curves, reports, _, others = plots.read_curves(tmp_path / "log.jsonl")
    assert list(curves) == list(reports) == ["n0", "n1"] and len(others) == 2998
    tracemalloc.start()
    plots.losses(tmp_path / "log.jsonl", tmp_path / "losses.png")
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert Image.open(tmp_path / "losses.png").size == (800, 1000) and memory < 40e6


def test_any_numbers_and_names_are_drawn(tmp_path):
    names = ("$\\frac{", "_hidden", "\x1b[31m\n", "$a$", "", "a" * 10_000)
    values = (1e298, -1e298, 0, 5e-324, 10**299)
    lines = [{"step": 2**62 + step, **dict.fromkeys(names, value)} for step, value in enumerate(values)]
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    plots.losses(tmp_path / "log.jsonl", tmp_path / "losses.png")
    assert Image.open(tmp_path / "losses.png").size == (800, 400)
    assert [plots.label(name) for name in names[:4]] == [r"\$\frac{", " _hidden", r"\x1b[31m", r"\$a\$"]


def test_a_style_of_the_user_changes_no_picture_and_stays_as_it_is(tmp_path):
    import matplotlib

    write_log(tmp_path / "log.jsonl", 5)
    draw = lambda name: plots.losses(tmp_path / "log.jsonl", tmp_path / name)
    points = np.zeros((3, 2))
    plane = lambda: plots.plane(points, points, surface=lambda x: x[:, :1] / 9 + 0.5, bounds=4, arrows=points + 1)
    draw("plain.png")
    before = plane()
    style = {"text.usetex": True, "axes.labelsize": 40, "figure.facecolor": "red", "savefig.dpi": 7,
             "axes.prop_cycle": "cycler(color=['r'])", "lines.linewidth": 9, "backend": "svg"}  # fmt: skip
    with matplotlib.rc_context():
        matplotlib.rcParams.update(style)
        mine = dict(matplotlib.rcParams)
        draw("styled.png")
        assert np.array_equal(plane(), before) and dict(matplotlib.rcParams) == mine
    assert (tmp_path / "styled.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


# ---- animation ----


def frames(tmp_path, count, shape=(6, 8, 1)):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"step-{i:06}.png" for i in range(count)]
    for path in paths:
        plots.save(rng.integers(0, 256, shape, dtype=np.uint8), path)
    return paths


@pytest.mark.parametrize("count, shown", [(1, 1), (2, 2), (5, 5), (60, 60), (61, 60), (200, 60)])
@pytest.mark.parametrize("shape", [(6, 8, 1), (6, 8, 3)])
def test_an_animation_shows_the_first_and_the_last_and_evenly_what_lies_between(tmp_path, count, shown, shape):
    paths = frames(tmp_path, count, shape)
    plots.animation(iter(paths), tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.size) == (shown, (8, 6))
        for number, path in [(0, paths[0]), (shown - 1, paths[-1])]:
            gif.seek(number)
            assert np.array_equal(np.asarray(gif.convert("RGB")), np.asarray(Image.open(path).convert("RGB")))
        assert gif.info["duration"] == 2000
        if shown > 1:
            gif.seek(0)
            assert gif.info["duration"] == 100


def test_pictures_of_another_size_are_brought_to_that_of_the_last(tmp_path):
    paths = frames(tmp_path, 3)
    plots.save(np.zeros((12, 10, 3), np.uint8), paths[0])
    plots.animation(paths, tmp_path / "a.gif")
    assert Image.open(tmp_path / "a.gif").size == (8, 6)


def test_an_animation_of_nothing_or_of_a_damaged_picture_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no pictures"):
        plots.animation([], tmp_path / "a.gif")
    paths = frames(tmp_path, 3)
    for i in (0, 1, 2):
        good = paths[i].read_bytes()
        paths[i].write_bytes(good[:30])
        with pytest.raises(UserError, match=f"step-00000{i}.png"):
            plots.animation(paths, tmp_path / "a.gif")
        paths[i].write_bytes(good)
    assert not (tmp_path / "a.gif").exists() and not list(tmp_path.glob(".*"))


def test_the_picture_of_the_plane_says_which_colour_is_which():
    """Below the axes there are a large dot of each colour; real points show where generated ones cover them."""
    points = np.zeros((5, 2), np.float32)
    picture = plots.plane(points, points, surface=lambda x: np.full((len(x), 1), 0.5), bounds=2.0, arrows=points)
    legend, axes = picture[355:], picture[:355]
    for colour in ([255, 127, 14], [31, 119, 180]):  # tab:orange, tab:blue
        near = lambda part, colour=colour: (abs(part.astype(int) - colour).max(-1) < 60).sum()
        assert near(legend) > 40 and near(axes) > 4
