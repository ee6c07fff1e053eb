"""The code of docs/training.md runs."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "training.md"


def test_the_model_of_the_page_trains_resumes_and_draws(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "points.py").write_text(block, encoding="utf-8")
    for arguments in (["--lr", "0.02", "--device", "cpu"], ["--resume", "runs/points", "--steps", "300"],
                      ["sample", "runs/points"], ["interpolate", "runs/points"], ["plot", "runs/points"],
                      ["evaluate", "runs/points", "--n", "100"]):  # fmt: skip
        done = subprocess.run([sys.executable, "points.py", *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), arguments
    names = {path.name for path in (tmp_path / "runs" / "points").iterdir()}
    listed = PAGE.read_text(encoding="utf-8").split("## Resume")[0]
    table = re.findall(r"`([a-z.-]+\.(?:json|jsonl|npz|png|gif))`", listed)
    assert names == set(table) | {"samples", "grid.png", "walk.png"}
