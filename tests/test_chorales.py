"""The chorales: what the network descends, which weights are kept, how it continues a piece, and the command line."""

import copy
import inspect
import io
import json
import os
import runpy
import signal
import subprocess
import sys
import textwrap
import wave

import numpy as np
import pytest
from PIL import Image
from test_examples import PATHS, ROOT

from scratchgan import training
from scratchgan.data import Batches, music
from scratchgan.examples.sequences import chorales
from scratchgan.optim import Adam
from scratchgan.support.errors import DataError

COUNTS = {"train": (7, 5, 9, 6, 8, 4), "valid": (6, 5), "test": (7, 9, 8)}  # steps of small pieces


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file of pieces of two voices, with a rest in one, and the highest and the lowest key of a piano."""
    rng = np.random.default_rng(0)
    found = {split: [rng.integers(50, 70, (length, 2)).tolist() for length in lengths]
             for split, lengths in COUNTS.items()}  # fmt: skip
    found["train"][0][1] = []
    found["train"][1][0] = [21, 108]
    path = tmp_path_factory.mktemp("music") / "pieces.json"
    path.write_text(json.dumps(found))
    return str(path)


def start(file, **more):
    """Return a small model and its batches."""
    more = {"batch_size": 3, "features": 5, "opening": 2, "length": 6, "valid_every": 2, "steps": 6} | more
    settings = chorales.Settings(data=file, **more)
    arrays = chorales.Chorales.load_data(settings)
    model = chorales.Chorales(settings, arrays[0].shape[1:], np.random.default_rng(0))
    return model, Batches(*arrays, batch_size=settings.batch_size, rng=np.random.default_rng(1))


# ---- the pieces ------------------------------------------------------------------------------------------


def test_a_piece_has_a_bit_for_each_key_of_each_step(file):
    keys, lengths = chorales.pieces("train", file)
    assert keys.shape == (6, 9, 88) and lengths.tolist() == [*COUNTS["train"]]
    for found, piece in zip(keys, music.load("train", file), strict=True):
        sounding = [tuple((np.flatnonzero(step) + 21).tolist()) for step in found]
        assert sounding == [*piece, *[()] * (9 - len(piece))]
    assert keys[1, 0, [0, 87]].tolist() == [1, 1] and not keys[0, 1].any()


def test_chorales_by_rule_need_no_file():
    keys, lengths = chorales.pieces("valid", "rule")
    assert len(keys) == 76 and keys.sum() == 4 * lengths.sum()


def test_what_is_no_such_file_is_a_line(tmp_path):
    for text, message in (('{"train": [[[60]]]}', "no pieces of the split 'valid'"), ("[1", "pieces.json"),
                          ('{"train": [[[20]]], "valid": [[[60]]], "test": [[[60]]]}', "the pitch 20")):  # fmt: skip
        path = tmp_path / "pieces.json"
        path.write_text(text)
        music.read.cache_clear()
        with pytest.raises(DataError, match=message):
            chorales.pieces("train", str(path))


# ---- what is descended -----------------------------------------------------------------------------------


def longhand(net, keys, lengths):
    """-E log p of every key of every step but the first, in a loop; one piece at a time, without padding."""
    total, steps = 0, 0
    for piece, length in zip(keys, lengths, strict=True):
        x = piece[:length].astype(net.params()[0].value.dtype)
        p = 1 / (1 + np.exp(-net.forward(x[None, :-1])[0][0]))
        for t in range(1, length):
            sounds = piece[t] == 1
            total += -np.log(p[t - 1][sounds]).sum() - np.log(1 - p[t - 1][~sounds]).sum()
            steps += 1
    return total / steps


def follows_the_formula(file, cell="lstm"):
    """The loss and the gradient handed to the optimizer are the formula's, by a complex step, in float64."""
    model, batches = start(file, cell=cell, clip=1e6)
    keys, lengths = batches.next()
    net = model.net = copy.deepcopy(model.net).astype(np.float64)
    model.optimizer = Adam(net.params(), 1e-3)
    model.optimizer.step = lambda: None
    batches.next = lambda: (keys, lengths)
    loss = float(model.step(batches)["train"])
    assert loss == pytest.approx(longhand(net, keys, lengths), rel=1e-10)
    rng = np.random.default_rng(2)
    for _ in range(3):
        twin, expected = copy.deepcopy(net).astype(np.complex128), 0
        for param, moved in zip(net.params(), twin.params(), strict=True):
            v = rng.standard_normal(param.value.shape)
            moved.value[...] += 1e-20j * v
            expected += (param.grad * v).sum()
        found = longhand(twin, keys, lengths).imag / 1e-20
        assert abs(found - expected) < 1e-10 * max(abs(expected), 1)


@pytest.mark.parametrize("cell", chorales.CELLS)
def test_a_step_follows_the_formula(file, cell):
    follows_the_formula(file, cell)


def test_a_likelihood_is_that_of_all_steps_together(file):
    """Not a mean of the pieces' means, nor of batches': also where there are more pieces than one part holds."""
    model, _ = start(file)
    keys, lengths = chorales.pieces("train", file)
    wanted = longhand(model.net, keys, lengths)
    assert chorales.likelihood(model.net, "train", file) == pytest.approx(wanted, rel=1e-5)
    few = longhand(model.net, keys[:2], lengths[:2])
    assert chorales.likelihood(model.net, "train", file, 2) == pytest.approx(few, rel=1e-5)


def test_many_pieces_are_looked_at_in_parts(file, monkeypatch):
    model, _ = start(file)
    keys, lengths = (np.concatenate([array] * 30)[:150] for array in chorales.pieces("train", file))
    monkeypatch.setattr(chorales, "pieces", lambda split, data: (keys, lengths))
    wanted = longhand(model.net, keys, lengths)
    assert chorales.likelihood(model.net, "train", file) == pytest.approx(wanted, rel=1e-5)


def test_nobody_hears_what_comes(file):
    """What is said of step t + 1 does not depend on it, nor on what is behind the end of a piece."""
    model, batches = start(file)
    keys, lengths = batches.next()
    _, d, _ = chorales.surprise(model.net, keys, lengths)
    logits = model.net(keys[:, :-1].astype("float32"))
    later = keys.copy()
    later[:, 3:] = 1 - later[:, 3:]
    np.testing.assert_array_equal(model.net(later[:, :-1].astype("float32"))[:, :3], logits[:, :3])
    for n, length in enumerate(lengths):
        assert not d[n, length - 1 :].any() and d[n, : length - 1].all()


def clipped(file):
    model, batches = start(file, clip=0.01)
    norms = []
    model.optimizer.move = lambda lr: norms.append(float(np.sqrt((model.optimizer.flat.grad**2).sum())))
    for _ in range(3):
        model.step(batches)
    assert norms == pytest.approx([0.01] * 3, rel=1e-5)


def test_the_gradient_is_clipped(file):
    clipped(file)


def the_best_is_kept(file):
    """The average of weights with the smallest loss of `valid`, and only where it was looked at."""
    model, batches = start(file, steps=40, lr=0.3, average=0.5)
    seen = []
    for step in range(40):
        if step % 2 == 0:
            seen.append((chorales.likelihood(model.average.net, "valid", file), model.average.net.state()))
        model.step(batches)
    best, state = min(seen, key=lambda pair: pair[0])
    assert model.best_valid == best and best < seen[-1][0]  # so large a rate makes it worse again
    for path, array in model.best.state().items():
        np.testing.assert_array_equal(array, state[path])


def test_the_best_weights_are_kept(file):
    the_best_is_kept(file)


# ---- samples ---------------------------------------------------------------------------------------------


def heard(file, cell="gru"):
    """Each step is drawn with what `forward` says after all the steps before it, and the first ones are given."""
    model, _ = start(file, cell=cell)
    z = model.latent(4, np.random.default_rng(0))
    keys = model.generate(z)
    assert z.shape == keys.shape == (4, 6, 88) and z.dtype == keys.dtype == np.float32
    starts = {piece[:2].tobytes() for piece in chorales.pieces("test", file)[0]}
    assert all(piece[:2].astype(np.uint8).tobytes() in starts for piece in keys)
    p = 1 / (1 + np.exp(-model.best(keys)))
    sure = np.abs(p[:, 1:-1] - z[:, 2:]) > 1e-5
    np.testing.assert_array_equal(keys[:, 2:][sure], (z[:, 2:] < p[:, 1:-1])[sure])


@pytest.mark.parametrize("cell", chorales.CELLS)
def test_a_sample_hears_itself(file, cell):
    heard(file, cell)


def test_a_sample_is_a_picture_and_a_tune(file):
    model, _ = start(file)
    z = model.latent(4, np.random.default_rng(0))
    picture = model.picture(z)
    assert picture.shape == (2 * 90 + 2, 2 * 8 + 2, 1)
    roll, keys = picture[2:90, 2:8, 0], model.generate(z)[0]
    np.testing.assert_array_equal(roll, (keys.T[::-1] * [110, 110, 255, 255, 255, 255]).astype(np.uint8))
    with wave.open(io.BytesIO(model.export(z, ".wav"))) as sound:
        assert sound.getframerate() == 22_050 and sound.getnframes() <= 6 * 22_050 * 60 // 90
    tune = model.export(z, ".mid")
    onsets = (np.diff(keys, axis=0, prepend=0) == 1).sum(0)
    for key in range(88):
        assert tune.count(bytes([0x90, key + 21, 80])) == onsets[key]


# ---- bugs, planted: for each, a test above must fail -----------------------------------------------------

BUGS = {
    "the gradient is clipped before it is there": (
        "step", "self.net.accumulate(tape, da)\n    clip_norm(self.optimizer, self.settings.clip)",
        "clip_norm(self.optimizer, self.settings.clip)\n    self.net.accumulate(tape, da)", clipped,
    ),
    "steps behind the end count": ("surprise", "< lengths[:, None]", "< lengths[:, None] + 9", follows_the_formula),
    "a mean over keys": ("surprise", "/ there.sum()", "/ there.sum() / 88", follows_the_formula),
    "a step predicts itself": ("surprise", "x[:, 1:] * a", "x[:, :-1] * a", follows_the_formula),
    "the weights are kept, not their average": (
        "step", "self.best.load_state(self.average.net.state())", "self.best.load_state(self.net.state())",
        the_best_is_kept,
    ),
    "the last weights are kept": ("step", "if self.valid < self.best_valid:", "if True:", the_best_is_kept),
    "a sample does not hear itself": ("generate", "[x, state]", "[0 * x, state]", heard),
    "what is given is drawn": ("generate", "t < self.given", "t < 1", heard),
    "u the other way round": ("generate", "z[:, t] < p", "z[:, t] > p", heard),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(file, bug, monkeypatch):
    name, right, wrong, test = BUGS[bug]
    owner = chorales if name == "surprise" else chorales.Chorales
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(chorales), made)
    monkeypatch.setattr(owner, name, made[name])
    with pytest.raises(AssertionError):
        test(file)


# ---- as a user would -------------------------------------------------------------------------------------


def call(monkeypatch, *arguments):
    """Run the script; return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(PATHS["chorales"]), *map(str, arguments)])
    try:
        runpy.run_path(str(PATHS["chorales"]), run_name="__main__")
    except SystemExit as left:
        return left.code or 0
    return 0


SMALL = ("--features", 4, "--batch-size", 3, "--valid-every", 2, "--length", 10, "--opening", 2, "--threads", 1)


def test_resuming_is_exact(file, tmp_path, monkeypatch):
    """Also where it is stopped between two looks at `valid`."""
    small = {"data": file, "features": 4, "batch_size": 3, "valid_every": 2, "length": 10, "opening": 2, "threads": 1}
    settings = {out: chorales.Settings(steps=6, out=str(tmp_path / out), **small) for out in ("whole", "parts")}
    training.train(chorales.Chorales, settings["whole"])
    step = chorales.Chorales.step

    def stopped(model, batches):
        if model.optimizer.steps == 3:
            signal.raise_signal(signal.SIGINT)
        return step(model, batches)

    monkeypatch.setattr(chorales.Chorales, "step", stopped)
    with pytest.raises(training.Stopped):
        training.train(chorales.Chorales, settings["parts"])
    monkeypatch.setattr(chorales.Chorales, "step", step)
    training.train(chorales.Chorales, settings["parts"], resume=str(tmp_path / "parts"))
    with np.load(tmp_path / "whole/checkpoint.npz") as whole, np.load(tmp_path / "parts/checkpoint.npz") as parts:
        paths = [path for path in whole.files if path.startswith("arrays/")]
        assert {"arrays/model/best_valid", "arrays/model/best/1.W", "arrays/batches/order"} <= {*paths}
        for path in paths:
            np.testing.assert_array_equal(whole[path], parts[path], err_msg=path)


def test_commands(file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--steps", 3, "--out", "run", "--data", file, "--cell", "gru", *SMALL) == 0
    assert (tmp_path / "run" / "samples.mid").exists() and (tmp_path / "run" / "samples.wav").exists()
    assert call(monkeypatch, "evaluate", "run") == 0
    assert "NLL, test" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert metrics.keys() == {"NLL, train", "NLL, valid", "NLL, test"}
    assert call(monkeypatch, "sample", "run", "--n", 2, "--out", "x.mid") == 0
    assert (tmp_path / "x.mid").read_bytes().startswith(b"MThd")
    assert call(monkeypatch, "sample", "run", "--n", 2) == 0
    assert Image.open(tmp_path / "run" / "grid.png").size == (2 * 12 + 2, 90 + 2)
    assert call(monkeypatch, "interpolate", "run") == 2
    assert "has none: use sample" in capsys.readouterr().err


def test_published_numbers_stand_beside_bach_s_alone(file):
    model, _ = start(file)
    assert model.baselines(5) == {}
    model.settings.data = "chorales"
    assert model.baselines(5)["published"] == {"NLL, test": 8.45}


@pytest.mark.parametrize(("arguments", "message"), [
    (("--data", "nowhere.json"), "nowhere.json"),
    (("--cell", "tcn"), "must be one of rnn, lstm, gru"),
    (("--length", "1"), "must be at least 2"),
    (("--clip", "0"), "must be at least"),
])  # fmt: skip
def test_bad_arguments_are_a_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


# ---- the benchmark -----------------------------------------------------------------------------------------


def benchmark(name, *arguments):
    """Return what a benchmark prints, run as a user would."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "benchmarks" / name), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_table_of_all_cells(file, tmp_path):
    """Beside what is counted in the training pieces, longhand here; what is there is not trained again."""
    table = ("--data", file, "--cells", "rnn", "--seeds", 0, "--steps", 2, "--out", tmp_path)
    told = benchmark("chorales.py", *table)
    rows = [row for row in told.splitlines() if row.startswith("|")]
    assert rows[0] == "| | weights | valid | test | published | four notes |" and len(rows) == 6
    assert rows[2] == "| the pieces `test` | | | | | 0.00 |"  # these have two
    assert rows[5].startswith("| rnn | 75,488 |") and told.count("seconds of a core") == 1
    keys, lengths = chorales.pieces("train", file)
    pairs = [(piece[t - 1], piece[t]) for piece, n in zip(keys, lengths, strict=True) for t in range(1, n)]
    for row, order in ((rows[3], 0), (rows[4], 1)):
        found = []
        for piece, n in zip(*chorales.pieces("test", file), strict=True):
            for t in range(1, n):
                alike = [[new[k] for last, new in pairs if not order or last[k] == piece[t - 1, k]] for k in range(88)]
                p = np.array([(sum(map(int, new)) + 0.5) / (len(new) + 1) for new in alike])
                found.append(-np.log(np.where(piece[t] == 1, p, 1 - p)).sum())
        assert row.split("|")[4].strip() == f"{np.mean(found):.3f}"
    again = benchmark("chorales.py", *table)
    assert "seconds of a core" not in again
    assert [row for row in again.splitlines() if row.startswith("|")] == rows


def test_times_of_all_cells():
    told = benchmark("recurrent.py", "--shape", 2, 3, 4, 5, "--turns", 1).splitlines()
    assert [row.split("|")[1].strip() for row in told] == ["", "---", "RNN", "LSTM", "GRU"]


def test_bach():
    """The published splits: 229, 76 and 77 pieces, all of whose steps but the first are predicted."""
    try:
        found = {split: chorales.pieces(split, "chorales") for split in music.SPLITS}
    except DataError as error:
        pytest.skip(str(error))
    assert {split: len(keys) for split, (keys, _) in found.items()} == {"train": 229, "valid": 76, "test": 77}
    assert {split: int((lengths - 1).sum()) for split, (_, lengths) in found.items()} == {
        "train": 13_578, "valid": 4526, "test": 4648
    }  # fmt: skip


def test_pieces_too_short_to_tell_a_step_are_left_out(tmp_path):
    """Of one step, nothing is predicted; where no piece has two, that is said at once."""
    one, two = [[60, 64, 67]], [[60, 64, 67], [62, 65, 69]]
    path = tmp_path / "short.json"
    path.write_text(json.dumps({"train": [one, two], "valid": [two, one], "test": [two]}))
    keys, lengths = chorales.pieces("train", str(path))
    assert keys.shape == (1, 2, 88) and lengths.tolist() == [2]
    path = tmp_path / "none.json"
    path.write_text(json.dumps({"train": [one], "valid": [one], "test": [one]}))
    with pytest.raises(DataError, match="no piece of the split 'train' has 2 steps"):
        chorales.Chorales.load_data(chorales.Settings(data=str(path)))


def test_an_opening_is_no_longer_than_a_test_piece(tmp_path):
    two = [[60, 64, 67], [62, 65, 69]]
    path = tmp_path / "short.json"
    path.write_text(json.dumps({"train": [two], "valid": [two], "test": [two]}))
    settings = chorales.Settings(data=str(path), features=4, opening=8, length=12)
    model = chorales.Chorales(settings, (2, 88), np.random.default_rng(0))
    assert model.given == 2
    z = model.latent(3, np.random.default_rng(0))
    assert z.shape == (3, 12, 88) and set(np.unique(model.generate(z))) <= {0, 1}
