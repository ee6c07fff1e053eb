"""docs/results.md is what the command writes from the records, and the records are read as they should be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scratchgan.support.errors import UserError

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import families  # noqa: E402
import results  # noqa: E402
import supervision  # noqa: E402
import trainings  # noqa: E402
import translation  # noqa: E402


def record(what="dcgan", seed=0, distance=10.0, **changes):
    """Return a record of a family of images."""
    numbers = {"FID-LeNet": distance, "precision-LeNet": 0.5, "recall-LeNet": 0.25,
               "nearer to training data-LeNet": 0.5}  # fmt: skip
    return {
        "section": "families", "what": what, "protocol": "2,000 samples", "budget": "quick", "command": f"train {what}",
        "seed": seed, "steps": 400, "seconds": 90.0, "hardware": "a computer", "numbers": numbers,
        "floors": {"FID-LeNet": 3.0},
    } | changes  # fmt: skip


def rows(page):
    """Return the cells of the page's tables, without the glance and without rules."""
    glance = results.GLANCE.read_text(encoding="utf-8").splitlines()  # which people write
    lines = [line for line in page.splitlines() if line.startswith("| ") and line not in glance]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_is_what_the_command_writes():
    written = results.PAGE.read_text(encoding="utf-8")
    assert written == results.page(results.load()), "python benchmarks/results.py writes it anew"


def test_every_committed_record_says_how_it_was_made():
    for found in results.load():
        script = found["command"].split()[1]
        assert (ROOT / script).exists() and found["seconds"] > 0 and found["hardware"], found["command"]


def test_mean_and_standard_error_over_seeds():
    page = results.page([record(seed=seed, distance=value) for seed, value in enumerate((10.0, 12.0, 17.0))])
    _, row, floor = rows(page)
    # mean 13, deviation sqrt((9 + 1 + 16) / 2) = 3.606, over sqrt(3): 2.08
    assert row[:3] == ["dcgan", "13.0 ± 2.1", "0.50 ± 0.00"] and row[-4:] == ["quick", "400", "3", "1.5"]
    assert floor[0] == "*real images*" and floor[1] == "3.0"


def test_the_best_family_is_first_and_missing_ones_are_named():
    page = results.page([record("gan", distance=30.0), record("dcgan", distance=5.0), record("wgan", distance=7.0)])
    assert [row[0] for row in rows(page)[1:4]] == ["dcgan", "wgan", "gan"]
    missing = " ".join(page.split("## Not measured yet")[1].split())
    assert "the family sngan" in missing and "the family dcgan" not in missing and "Ring and grid" in missing


def test_families_that_were_measured_differently_are_not_ranked_together():
    other = {"protocol": "10,000 samples"}
    page = results.page([record("gan", distance=3.0), record("dcgan", distance=2.0, **other),
                         record("wgan", distance=1.0), record("sngan", distance=4.0, **other)])  # fmt: skip
    first, second = page.split("protocol: 2,000 samples:")[1].split("protocol: 10,000 samples:")
    assert [row[0] for row in rows(first)] == ["", "wgan", "gan", "*real images*"]
    assert [row[0] for row in rows(second)] == ["", "dcgan", "sngan", "*real images*"]


@pytest.mark.parametrize("change", [{"steps": 800}, {"protocol": "other data"}])
def test_seeds_of_unequal_runs_are_not_averaged(change):
    with pytest.raises(UserError, match="differ"):
        results.page([record(section="labels", numbers={"class accuracy": 0.5}, **changes) for changes in ({}, change)])


def test_budgets_have_rows_of_their_own():
    _, short, long, _ = rows(results.page([record(distance=9.0), record(budget="default", steps=4000, distance=12.0)]))
    assert short[1] == "9.0" and short[5:7] == ["quick", "400"]
    assert long[1] == "12.0" and long[5:7] == ["default", "4,000"]


def test_a_number_that_some_rows_lack_is_left_out():
    codes = [record(what, section="codes", numbers=numbers, floors={}) for what, numbers in
             {"glyphs": {"error": 0.1, "gap": 0.2}, "mnist": {"error": 0.3}}.items()]  # fmt: skip
    _, glyphs, mnist = rows(results.page(codes))
    assert glyphs[:3] == ["glyphs", "10.0 %", "0.200"] and mnist[:3] == ["mnist", "30.0 %", ""]


def test_a_published_value_stands_beside_ours():
    parzen = record("adversarial_nets", section="parzen", numbers={"log-likelihood": 200.0}, floors={},
                    errors={"log-likelihood": 2.5}, published={"log-likelihood": "225 ± 2"},
                    full_steps=125_000)  # fmt: skip
    head, row = rows(results.page([parzen]))
    assert head[1:3] == ["log-likelihood", "published"]
    assert row[1:5] == ["200.0 ± 2.5", "225 ± 2", "quick", "400 of 125,000"]


def test_records_are_kept_as_files(tmp_path):
    path = results.save(record("ring, pacgan2", seed=2), tmp_path)
    assert path.name == "families-ring-pacgan2-quick-2.json"
    assert results.load(tmp_path) == [record("ring, pacgan2", seed=2)]


@pytest.mark.parametrize(
    "text", ["{", "{}", json.dumps(record(section="jokes")), json.dumps(record(numbers={"FID-LeNet": None}))]
)
def test_a_bad_record_is_named(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(UserError, match="bad.json is no record"):
        results.load(tmp_path)


def test_a_cell_of_mode_collapse_becomes_a_record(tmp_path):
    cell = {"method": "pacgan2", "data": "ring", "seed": 1, "seconds": 90, "hardware": "a computer", "modes": 7.0,
            "high quality": 0.5, "reverse KL": 0.07, "Jensen-Shannon": 0.02, "settings": {"steps": 5000}}  # fmt: skip
    file = tmp_path / "ring-pacgan2-1.json"
    file.write_text(json.dumps(cell))
    found = results.check(results.from_cell(file))
    assert (found["section"], found["what"], found["seed"], found["budget"]) == ("modes", "ring, pacgan2", 1, "quick")
    _, row = rows(results.page([found]))
    assert row[1:7] == ["7.0", "7.9", "50.0 %", "95.6 %", "0.070", "0.07"] and row[8] == "5,000 of 400,000"
    assert found["command"] == "python examples/collapse/mode_collapse.py --data ring --methods pacgan2"
    file.write_text(json.dumps(cell | {"settings": {"steps": 400_000}}))
    assert results.from_cell(file)["command"].endswith("--methods pacgan2 --steps 400000")


# ---- benchmarks/families.py, supervision.py and translation.py -------------------------------------------


@pytest.fixture
def records(tmp_path, monkeypatch):
    """A folder of records in the place of docs/results/."""
    folder = tmp_path / "records"
    folder.mkdir()
    load, save = results.load, results.save
    monkeypatch.setattr(results, "load", lambda: load(folder))
    monkeypatch.setattr(results, "save", lambda found: save(found, folder))
    monkeypatch.setattr(results, "write_page", lambda records: None)
    return folder


@pytest.fixture
def calls(monkeypatch):
    """Commands that were called; what is in `calls.files`, {command: (file, value)}, is what they write."""

    class Calls(list):
        files = {}

    def call(script, *arguments):
        command, *rest = arguments
        called.append(command)
        if command in called.files:
            file, value = called.files[command]
            (rest[0] / file).write_text(json.dumps(value))
        elif command != "--resume":
            given = dict(zip(arguments[1:], arguments[2:], strict=False))
            given["--out"].mkdir(parents=True)
            (given["--out"] / "checkpoint.npz").touch()
            lines = [{"step": given["--steps"], "seconds": 12.5, "report": {"error": 0.2}}, {"step": 9999}]
            (given["--out"] / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    called = Calls()
    monkeypatch.setattr(trainings, "call", call)
    return called


def test_a_family_is_trained_measured_and_then_skipped(tmp_path, records, calls):
    metrics = dict.fromkeys(families.MEASURED, {"value": 0.5, "floor": 0.25})
    found = {"step": 400, "n": 2000, "accuracy on test images": 0.99, "metrics": metrics}
    calls.files = {"evaluate": ("metrics.json", found)}
    options = families.parse(["--out", str(tmp_path), "--threads", "1", "--note", "shared"])
    families.measure("dcgan", 0, options)
    assert calls == ["--data", "evaluate"]
    (found,) = results.load()
    assert (found["steps"], found["seconds"]) == (400, 12.5)
    assert found["numbers"]["FID-LeNet"] == 0.5 and found["floors"]["recall-LeNet"] == 0.25
    assert found["command"] == "python examples/dcgan.py --data mnist --steps 400 --seed 0"
    assert found["hardware"].endswith(", shared") and "1 thread," in found["hardware"]
    families.measure("dcgan", 0, options)
    assert calls == ["--data", "evaluate"]
    next(records.glob("*.json")).unlink()  # what was measured is still there
    families.measure("dcgan", 0, options)
    assert calls == ["--data", "evaluate", "--resume"] and results.load() == [found]


def test_what_labels_are_for_is_measured_with_the_options_that_the_row_names(tmp_path, records, calls):
    calls.files = {"accuracy": ("accuracy.json", {"n": 50, "class accuracy": 0.75, "accuracy on test images": 0.99})}
    options = supervision.parse(["--out", str(tmp_path)])
    supervision.measure("acgan --data mnist --fake-class", 2, options)
    supervision.measure("acgan --data mnist --fake-class", 2, options)
    assert calls == ["--data", "accuracy"]
    (found,) = results.load()
    assert (found["numbers"], found["seed"]) == ({"class accuracy": 0.75}, 2)
    assert found["command"] == "python examples/labels/acgan.py --data mnist --fake-class --seed 2"


def test_what_a_model_reports_is_taken_from_the_log(tmp_path, records, calls):
    supervision.measure("infogan", 0, supervision.parse(["--out", str(tmp_path)]))
    assert calls == ["--seed"] and results.load()[0]["numbers"] == {"error": 0.2}


def test_each_part_of_a_translation_has_a_record(tmp_path, records, calls):
    metrics = {
        "PSNR, dB, hole": {"value": 14.0, "input": 6.5}, "PSNR, dB": {"value": 20.0, "input": 12.5},
        "class accuracy-LeNet": {"value": 0.75, "input": 0.5},
        "PSNR, dB, SRGAN": {"value": 18.0, "input": 12.0}, "PSNR, dB, SRResNet": {"value": 19.0, "input": None},
    }  # fmt: skip
    calls.files = {"evaluate": ("metrics.json", {"n": 2000, "metrics": metrics})}
    options = translation.parse(["--out", str(tmp_path)])
    translation.measure("inpainting --no-gan", 1, options)
    translation.measure("inpainting --no-gan", 1, options)
    assert calls == ["--no-gan", "evaluate"]
    (found,) = results.load()
    assert found["numbers"] == {"PSNR, dB": 14.0, "of the input, dB": 6.5, "class accuracy": 0.75}
    assert found["command"] == "python examples/translation/inpainting.py --no-gan --seed 1"
    translation.measure("srgan", 0, options)
    assert [record["what"] for record in results.load()][1:] == ["srgan, SRGAN", "srgan, SRResNet"]
    assert results.load()[2]["numbers"] == {"PSNR, dB": 19.0, "class accuracy": 0.75}


def test_every_row_has_an_example_a_section_and_options_that_are_there():
    sections = {section.name for section in results.SECTIONS}
    translations = {what: (translation.SECTION, None) for what in translation.ROWS}
    for what, (section, _) in (supervision.ROWS | translations).items():
        example, *given = what.split()
        assert section in sections
        settings = vars(trainings.settings(example))
        for name in given:
            if name.startswith("--"):
                field = name.removeprefix("--").replace("-", "_")  # --no-x may be a field no_x, or deny x
                assert {field, field.removeprefix("no_")} & settings.keys(), what


def test_what_fails_is_named_and_the_others_go_on(monkeypatch):
    def measure(name, seed):
        done.append((name, seed))
        if name == "b":
            raise subprocess.CalledProcessError(2, "b.py")

    done, options = [], families.parse(["--seeds", "0", "2"])
    with pytest.raises(SystemExit, match="without a record: b, b"):
        trainings.every("abc", measure, options)
    assert done == [(name, seed) for seed in (0, 2) for name in "abc"]


def test_the_default_budget_asks_the_example():
    assert families.steps_of("gan", "default") == 15_000
    assert families.steps_of("adversarial_nets", "default") == 10_000
    assert families.steps_of("dcgan", "quick") == 400


def test_only_families_whose_authors_steps_are_known_have_a_papers_budget(capsys):
    assert families.parse(["--budget", "paper"]).only == ["adversarial_nets"]
    assert families.steps_of("adversarial_nets", "paper") == 125_000
    with pytest.raises(SystemExit):
        families.parse(["--budget", "paper", "--only", "dcgan"])
    assert "no paper's budget but for adversarial_nets" in capsys.readouterr().err


def test_every_family_that_is_expected_has_an_example():
    assert set(results.FAMILIES) <= {path.stem for path in (ROOT / "examples").rglob("*.py")}
