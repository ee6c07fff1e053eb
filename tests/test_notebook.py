"""The notebook: its cells run in order as plain Python, and it is kept without outputs."""

import json
from pathlib import Path

import numpy as np

PATH = Path(__file__).parent.parent / "examples" / "plane.ipynb"
NOTEBOOK = json.loads(PATH.read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_it_is_a_notebook_without_outputs():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["metadata"]["kernelspec"]["name"]) == (4, "python3")
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    for cell in NOTEBOOK["cells"]:
        assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)
        assert all(len(line.rstrip("\n")) <= 120 for line in cell["source"])


def test_its_cells_run_in_order(capsys):
    names = {}
    for source in CODE:
        assert source.count("steps = 5000") == (source is CODE[-1])
        exec(compile(source.replace("steps = 5000", "steps = 20"), str(PATH), "exec"), names)
    assert len(names["history"]) == 20 and np.isfinite(names["history"]).all()
    assert capsys.readouterr().out.splitlines()[-1].startswith("step 20: D ")
    assert names["look"]().size == (384, 384)
