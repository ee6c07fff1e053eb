"""Models of sequences: files beside their pictures, their own measures, and the commands."""

import json

import numpy as np
import pytest
from PIL import Image

from scratchgan import plots, training, xp
from scratchgan.layers import Dense, Sequential, Tanh
from scratchgan.optim import Adam
from scratchgan.support.errors import UserError
from scratchgan.training import evaluate


class Words(training.Sequences):
    """A network that is pulled to 0; its samples are printed as numbers."""

    exports = (".txt",)

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.G = Sequential(Dense(4, 4, rng=rng), Tanh())
        self.opt_G = Adam(self.G.params(), 1e-2)

    @staticmethod
    def load_data(settings):
        return np.arange(40).reshape(10, 4)  # integers: words

    def latent(self, n, rng):
        return rng.standard_normal((n, 4), dtype=np.float32)

    def step(self, batches):
        assert batches.next().dtype.kind == "i"
        y, tape = self.G.forward(self.noise(len(batches.next())))
        self.G.accumulate(tape, y)
        self.opt_G.step()
        return {"G": (y**2).mean()}

    def generate(self, z):
        return self.G(z)

    def export(self, z, suffix):
        assert suffix == ".txt"
        return "\n".join(str(row) for row in xp.to_host(self.generate(z)).round(2).tolist()).encode()

    def picture(self, z):
        return plots.text([str(row) for row in xp.to_host(self.generate(z)).round(2).tolist()])

    def measured(self, n):
        return {"mean": float(self.generate(self.noise(n)).mean()), "only of samples": 1.0}  # a draw of self.rng

    def baselines(self, n):
        self.rng.random()
        return {"floor": {"mean": 0.0}, "a simple one": {"mean": 0.5}}


def settings(tmp_path, **given):
    return training.Settings(**{"steps": 8, "batch_size": 4, "sample_every": 4, "out": str(tmp_path / "run"), **given})


def test_files_lie_beside_each_picture(tmp_path):
    training.train(Words, settings(tmp_path))
    run = tmp_path / "run"
    texts = {path.stem: path.read_bytes() for path in sorted((run / "samples").glob("*.txt"))}
    assert texts.keys() == {path.stem for path in (run / "samples").glob("*.png")} >= {"step-000004", "step-000008"}
    assert len(texts["step-000008"].splitlines()) == 64 and texts["step-000004"] != texts["step-000008"]
    assert (run / "samples.txt").read_bytes() == texts["step-000008"]


def test_a_resumed_run_drops_the_files_after_its_checkpoint(tmp_path):
    training.train(Words, settings(tmp_path))
    run = tmp_path / "run"
    late = run / "samples" / "step-000012.png"
    late.write_bytes((run / "samples.png").read_bytes())
    late.with_suffix(".txt").write_text("of a step that was lost")
    kept = run / "samples" / "note.txt"
    kept.write_text("of somebody else")
    training.train(Words, settings(tmp_path, steps=10), resume=run)
    assert not late.exists() and not late.with_suffix(".txt").exists() and kept.exists()


def test_going_on_is_exact_whatever_is_measured(tmp_path):
    straight = training.train(Words, settings(tmp_path, out=str(tmp_path / "straight"), evaluate_every=4))
    training.train(Words, settings(tmp_path, steps=4))
    resumed = training.train(Words, settings(tmp_path), resume=tmp_path / "run")
    for name, array in straight.state().items():
        np.testing.assert_array_equal(array, resumed.state()[name], err_msg=name)


def test_measures_are_printed_beside_their_baselines(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training.train(Words, settings(tmp_path))
    training.main(Words, training.Settings, ["evaluate", "run", "--n", "50"])
    lines = capsys.readouterr().out.splitlines()
    titles = next(line for line in lines if "floor" in line)
    assert titles.split() == ["samples", "floor", "a", "simple", "one"]
    row = next(line for line in lines if line.startswith("mean "))
    assert row.split()[2:] == ["0", "0.5"]
    assert next(line for line in lines if line.startswith("only")).split()[-2:] == ["-", "-"]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert metrics["mean"]["floor"] == 0 and metrics["only of samples"]["a simple one"] is None


def test_sample_writes_a_text_or_a_picture(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training.train(Words, settings(tmp_path))
    for name in ("x.txt", "X.TXT"):
        training.main(Words, training.Settings, ["sample", "run", "--n", "3", "--out", name])
        assert len((tmp_path / name).read_text().splitlines()) == 3 and "3 of 3 samples" in capsys.readouterr().out
    monkeypatch.setattr(Words, "exported", 2)
    training.main(Words, training.Settings, ["sample", "run", "--n", "5", "--out", "x.txt"])
    assert len((tmp_path / "x.txt").read_text().splitlines()) == 2 and "2 of 5 samples" in capsys.readouterr().out
    training.main(Words, training.Settings, ["sample", "run", "--n", "3"])
    assert Image.open(tmp_path / "run" / "grid.png").size[1] < 60
    for argv, complaint in (
        (["sample", "run", "--out", "x.mid"], ".mid is nothing that this run has; use .png or .txt."),
        (["sample", "run", "--out", "there/x.txt"], "there is no folder there"),
        (["interpolate", "run"], "Words has none: use sample"),
    ):
        with pytest.raises(SystemExit) as stop:
            training.main(Words, training.Settings, argv)
        assert stop.value.code == 2 and complaint in capsys.readouterr().err


def test_the_floor_is_what_baselines_name_first(tmp_path):
    model = Words(settings(tmp_path), (4,), np.random.default_rng(0))
    against = evaluate.prepare(model, 20)
    assert against.columns == ("samples", "floor", "a simple one") and against.floor() == {"mean": 0.0}
    before = model.rng.bit_generator.state
    assert against.follow(model) == against.follow(model) and model.rng.bit_generator.state == before


def test_too_few_samples_say_nothing(tmp_path):
    with pytest.raises(UserError, match="would measure 19 samples: 20 is the least"):
        evaluate.prepare(Words(settings(tmp_path), (4,), np.random.default_rng(0)), 19)


def test_a_floor_may_be_unknown(tmp_path, capsys):
    class Unknown(Words):
        def baselines(self, n):
            return {}

    training.train(Unknown, settings(tmp_path, evaluate_every=4))
    assert "floor of the evaluations" not in capsys.readouterr().out
    against = evaluate.prepare(Unknown(settings(tmp_path), (4,), np.random.default_rng(0)), 20)
    assert against.columns == ("samples",) and against.floor() == {}


def test_a_model_without_measures_says_so(tmp_path):
    class Silent(training.Sequences):
        pass

    model = Silent(settings(tmp_path), (4,), np.random.default_rng(0))
    for ask in (lambda: model.measured(5), lambda: model.baselines(5), lambda: model.export(None, ".txt")):
        with pytest.raises(NotImplementedError, match="Silent has no"):
            ask()
    with pytest.raises(UserError, match="Silent has none"):
        model.walk(None, 3)


def test_text_becomes_a_picture():
    picture = plots.text(["one", "a longer line", "line\nbreak"])
    assert picture.ndim == 3 and picture.dtype == np.uint8 and picture.max() == 255
    wider = plots.text(["m" * 50, "m" * 500], columns=60)
    assert wider.shape[1] == plots.text(["m" * 60]).shape[1] > picture.shape[1]
    np.testing.assert_array_equal(plots.text(["a\nb"]), plots.text(["a b"]))
    assert plots.text(["€"]).any() and plots.text([]).size > 0
