"""What checkpoints hold of a model and of its batches, to be compared."""

import numpy as np


def held(run):
    """Return {path: array} of what a run's checkpoint holds of its model and its batches."""
    with np.load(run / "checkpoint.npz") as file:
        found = {path: file[path] for path in file.files if path.startswith(("arrays/model/", "arrays/batches/"))}
    assert {path.split("/")[1] for path in found} == {"model", "batches"}
    return found


def demand_equal(one, other):
    """Assert that the checkpoints of two runs hold the same, to the bit."""
    one, other = held(one), held(other)
    assert one.keys() == other.keys()
    for path, array in one.items():
        np.testing.assert_array_equal(array, other[path], err_msg=path)
