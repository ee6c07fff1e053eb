"""The command line of the package: names that are mistyped, and the list of examples."""

from pathlib import Path

import pytest

from scratchgan import __main__ as program
from scratchgan.examples import FOLDER
from scratchgan.support.arguments import Parser, meant
from scratchgan.tools import catalogue

PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
LISTED = [example for examples in catalogue.read(PAGE).values() for example in examples]


@pytest.mark.parametrize("typed, wanted", [
    ("exmaples", "examples"), ("run", "runs"), ("docter", "doctor"), ("grad-check", "gradcheck"), ("dta", "data"),
])  # fmt: skip
def test_a_mistyped_command_names_the_nearest(capsys, typed, wanted):
    assert program.main([typed]) == 3
    assert capsys.readouterr().err == (
        f"scratchgan: error: there is no command '{typed}': did you mean {wanted}? (see --help)\n"
    )


def test_a_command_like_no_other_is_refused_without_a_guess(capsys):
    assert program.main(["xyzzy"]) == 3
    assert capsys.readouterr().err == "scratchgan: error: there is no command 'xyzzy' (see --help)\n"


def test_the_help_lists_every_command(capsys):
    assert program.main(["--help"]) == 0
    out = capsys.readouterr().out
    for name in program.NAMES:
        assert f"\n  {name} " in out


def test_a_mistyped_option_names_the_nearest(capsys):
    parser = Parser("a", words=("sample",))
    parser.add_argument("--batch-size")
    parser.add_argument("--steps")
    for typed, wanted in ((["--bacth-size", "5"], "--batch-size"), (["--step=3"], "--steps"), (["smaple"], "sample")):
        with pytest.raises(SystemExit):
            parser.parse_args(typed)
        assert capsys.readouterr().err.endswith(
            f"unrecognized arguments: {' '.join(typed)}: did you mean {wanted}?\n"
        )
    assert parser.parse_args(["--steps", "3"]).steps == "3"
    assert meant("--xyzzy", ["--steps"]) == "" and meant("-steps", ["--steps"]) == ": did you mean --steps?"


# ---- the list of examples ----


def test_every_example_is_listed_once_and_with_what_it_shows():
    scripts = [path for path in FOLDER.rglob("*") if path.suffix in (".py", ".ipynb")]
    assert sorted(example.path for example in LISTED) == sorted(path.relative_to(FOLDER).as_posix() for path in scripts)
    assert all(len(example.shows) > 5 for example in LISTED)
    for example in LISTED:
        assert bool(example.minutes) == (not example.path.startswith("course/")), example.path


def test_the_list_is_printed(capsys):
    assert program.main(["examples"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for example in LISTED:
        assert f"{example.path} {example.minutes or 'a minute at most'}" in out and example.shows in out
    assert "[" not in out and "`" not in out  # no Markdown
    assert f"python {FOLDER / 'gan.py'}" in out


def test_where_there_are_no_examples_it_says_where_they_are(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path / "examples")
    assert program.main(["examples"]) == 3
    assert "folder examples/ of the repository, not in the installed package" in capsys.readouterr().err


def test_a_page_in_which_a_column_moved_is_read():
    page = "# A\n| example | shows | minutes |\n|---|---|---|\n| [a.py](b/a.py) | `x` and [y](z.md) | 0.5 |\ntext\n"
    assert catalogue.read(page) == {"A": [catalogue.Example("b/a.py", "x and y", "0.5")]}
    assert Path(FOLDER, LISTED[0].path).exists()
