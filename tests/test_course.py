"""The course: each chapter prints what its docstring says, and each exercise has the answer that ANSWERS.md gives."""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

COURSE = Path(__file__).parent.parent / "examples" / "course"
CHAPTERS = sorted(COURSE.glob("[0-9]*.py"))
SHORT = {"04_images": ("--steps", "100"), "07_dcgan": ("--steps", "20")}  # what a test has the time for
names = [path.stem for path in CHAPTERS]


class Exercise(NamedTuple):
    """A change of one line, and what the chapter prints then."""

    old: str  # on the line that the exercise names, and on no other
    new: str
    shows: tuple  # each stands in the output and, word by word, in ANSWERS.md
    hides: tuple = ()  # and each of these does not stand in the output


EXERCISES = {
    "00_by_hand": (
        Exercise("(sigmoid(s) - 1) / N", "(sigmoid(s) - 0) / N", ("step 1200: G makes numbers around -0.8",)),
        Exercise("range(1201)", "range(3001)", ("step 1500: G makes numbers around 3.1, with a spread of 0.10",
                                                "step 2100: G makes numbers around 2.9, with a spread of 0.26")),
    ),
    "01_layer_and_tape": (
        Exercise("self.dW += x.T @ dy", "self.dW = x.T @ dy", ("Dense     dW is [-3. -5.]",)),
        Exercise("x = tape", "x = np.ones_like(tape)", ("Dense     dW is [0. 0.]",)),
    ),
    "02_is_it_right": (
        Exercise("return da @ W.T, x.T @ da", "return da @ W.T, x.T @ da / len(x)",
                 ("{'x': 'AGREE', 'W': 'WRONG'}", "W has a factor 1/4 too many")),
        Exercise("np.tanh(x @ W)  # (N, out)", "np.tanh((x @ W).real)  # (N, out)",
                 ("complex step: h = 1e-100: error below 1e-14: False",
                  "check of backward: {'x': 'AGREE', 'W': 'AGREE'}")),
    ),
    "03_a_chain": (
        Exercise("if i > 0:", "if i >= 0:", ("D's step, accumulate: 3 of 3 layers are pulled",)),
        Exercise("d_fake = D.pull(tapes, d_logits)", "d_fake = D.pull(tapes, d_logits); D.accumulate(tapes, d_logits)",
                 ("D's gradient is as it was: False",)),
    ),
    "04_images": (
        Exercise("d_fake, _ = D.pull(D_tape, d_logits)", "d_fake = D.backward(D_tape, d_logits)",
                 ("step  100: D's loss 0.84, G's loss 0.65",)),
        Exercise("losses.nonsaturating_generator", "losses.minimax_generator",
                 ("step  100: D's loss 0.23, G's loss -0.11",)),
    ),
    "05_convolution": (
        Exercise("W[u, v] @ dy[i, j]", "W[k - 1 - u, k - 1 - v] @ dy[i, j]",
                 ("<dy, apply(W, x)> = <input_grad(W, dy), x>: False", "its dx is input_grad: False",
                  "ConvTranspose2d is input_grad: False")),
        Exercise("= 2, 3, 7, 2, 4", "= 2, 3, 8, 2, 4", ("dy has shape (1, 8, 8, 2), wanted (1, 7, 7, 2)",)),
    ),
    "06_batch_norm": (
        Exercise("g = gamma * dy  #", "g = dy  #", ("x is right once line 66 of backward has",)),
        Exercise("x.var(0)", "x.var(0, ddof=1)", ("lacks the variance path, or has it wrong",)),
    ),
    "07_dcgan": (
        Exercise('"kernel": 4', '"kernel": 3', ("64 samples of G, (25, 25, 1) each",)),
        Exercise('"padding": 1', '"padding": 0', ("Dense(1568, 1): x has shape (32, 800), wanted (N, 1568)",)),
    ),
    "08_slope_of_slope": (
        Exercise("layers.Dense(1, 1, rng=rng), layers.Tanh()", "layers.Dense(1, 1, rng=rng), layers.ReLU()",
                 ("dg/dw1 by double_backward: 2.0000",)),
        Exercise("rng=rng, weight=0.1", "rng=rng, weight=10", ("step  500: G makes numbers around 5",)),
    ),
    "09_labels_and_codes": (
        Exercise("clouds[y]", "clouds[(y + 1) % 4]", ("labels: 0% of G's points lie in the cloud asked for",)),
        Exercise("    d_guess = losses.categorical_information(guess, c)[1]", "    d_guess = None",
                 shows=(), hides=("codes: 100%",)),
    ),
}  # fmt: skip


def run(path, folder):
    """Run a chapter from another folder; return its exit status and all that it printed."""
    command = [sys.executable, str(path), *SHORT.get(path.stem, ())]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def expected(path):
    """Return the lines that a docstring promises, up to the last step that the test takes."""
    source = path.read_text(encoding="utf-8")
    block = re.search(r"[Ii]t prints:\n\n((?:    .*\n)+)", source)[1]
    lines = [line[4:] for line in block.splitlines()]
    if path.stem not in SHORT:
        return lines
    last = int(SHORT[path.stem][1])
    return [line for line in lines if int(line.split(":")[0].removeprefix("step")) <= last]


def asked(path):
    """Return the two numbers of lines that the exercises at the end of a chapter name."""
    tail = path.read_text(encoding="utf-8").split("# Exercises. The answers are in ANSWERS.md.\n")[1]
    return [int(line) for line in re.findall(r"^# \d\. (?:Line|After line) (\d+)", tail, flags=re.MULTILINE)]


def test_there_are_ten_chapters_of_eighty_lines():
    assert [name[:2] for name in names] == [f"{number:02}" for number in range(10)]
    assert names == list(EXERCISES)
    for path in CHAPTERS:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 80, path.name
        assert max(map(len, lines)) <= 100, path.name


@pytest.mark.parametrize("path", CHAPTERS, ids=names)
def test_a_chapter_prints_what_its_docstring_says(path, tmp_path):
    status, output = run(path, tmp_path)
    assert status == 0, output
    assert output.splitlines() == expected(path)
    assert [picture.stem for picture in tmp_path.glob("*.png")] == ([path.stem] if path.stem in SHORT else [])


@pytest.mark.parametrize("number", (1, 2))
@pytest.mark.parametrize("path", CHAPTERS, ids=names)
def test_an_exercise_has_its_answer(path, number, tmp_path):
    exercise = EXERCISES[path.stem][number - 1]
    source = path.read_text(encoding="utf-8")
    lines = [i for i, line in enumerate(source.splitlines(), start=1) if exercise.old in line]
    assert lines == [asked(path)[number - 1]]
    changed = tmp_path / path.name
    changed.write_text(source.replace(exercise.old, exercise.new), encoding="utf-8")
    output = run(changed, tmp_path)[1]
    answers = (COURSE / "ANSWERS.md").read_text(encoding="utf-8")
    for text in exercise.shows:
        assert text in output
        assert f"`{text}`" in answers, f"ANSWERS.md does not say {text}"
    for text in exercise.hides:
        assert text not in output
