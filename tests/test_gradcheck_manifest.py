"""Test vectors that are not what `make` writes are refused: nothing in a file can make a verdict milder."""

import copy
import math
from unittest import mock

import numpy as np
import pytest

from scratchgan.support.errors import DataError
from scratchgan.vectors.files import Vectors
from scratchgan.vectors.make import make
from scratchgan.vectors.verify import LOOSER, verify


def results(made, dtype="float32"):
    """Return what correct code would write: {key: array} of one dtype."""
    inputs = {name for name, order in made.manifest["names"].items() if order == "input"}
    parts = {key: key.split("/") for key in made.arrays}
    return {key: made.arrays[key].copy() for key, (_, own, name) in parts.items()
            if own == dtype and name not in inputs and not name.startswith("tolerance_")}  # fmt: skip


def judged(found, made):
    with mock.patch("scratchgan.vectors.verify.explain"):  # the search for causes
        return verify(Vectors({}, found), made)


def everywhere(part, change):
    """Return a function that changes all arrays of a part, such as "tolerance_dW"."""

    def spoil(made):
        for key, array in made.arrays.items():
            if key.split("/")[2].startswith(part):
                made.arrays[key] = np.asarray(change(array), array.dtype)

    return spoil


def without(name):
    """Return a function that takes a name out of vectors, as if it had never been there."""

    def spoil(made):
        for key in [key for key in made.arrays if key.split("/")[2].removeprefix("tolerance_") == name]:
            del made.arrays[key]
        made.manifest["names"].pop(name)

    return spoil


SPOILT = {
    "tolerances are NaN": everywhere("tolerance_", lambda a: a * np.nan),
    "tolerances are infinite": everywhere("tolerance_", lambda a: a + np.inf),
    "one tolerance is infinite": everywhere("tolerance_dW", lambda a: a + np.inf),
    "tolerances are negative": everywhere("tolerance_", lambda a: -a),
    "tolerances are large": everywhere("tolerance_", lambda a: a + 1),
    "tolerances are 1000 times as large": everywhere("tolerance_", lambda a: 1000 * a),
    "tolerances have another shape": everywhere("tolerance_", np.max),
    "dW is NaN": everywhere("dW", lambda a: a * np.nan),
    "dW is doubled": everywhere("dW", lambda a: 2 * a),
    "x is another": everywhere("x", lambda a: a[::-1]),
    "x is off by a little": everywhere("x", lambda a: a * (1 + 1e-5)),
    "a setting is another": everywhere("out_features", lambda a: a + 1),
    "dW has no name": lambda made: made.manifest["names"].pop("dW"),
    "dW is an input": lambda made: made.manifest["names"].update(dW="input"),
    "names are few": lambda made: made.manifest.update(names={"x": "input", "y": "forward"}),
    "dW was never there": without("dW"),
    "y was never there": without("y"),
    "there is more": lambda made: made.manifest["names"].update(dV="backward"),
    "an array is lacking": lambda made: made.arrays.pop("plain/float64/dW"),
    "a tolerance is lacking": lambda made: made.arrays.pop("plain/float32/tolerance_dW"),
    "an array is unknown": lambda made: made.arrays.update({"plain/float64/dV": np.ones(3)}),
    "a key is none": lambda made: made.arrays.update({"dV": np.ones(3), "a/b/c/d": np.ones(3)}),
    "a case is lacking": lambda made: made.manifest["cases"].pop("plain"),
    "a case is unknown": lambda made: made.manifest["cases"].update(other="x"),
    "float64 is lacking": lambda made: made.manifest.update(dtypes=["float32"]),
    "it is of another layer": lambda made: made.manifest.update(of="embedding"),
    "it is in another layout": lambda made: made.manifest.update(layout="channels-first"),
    "dtypes are swapped": lambda made: made.arrays.update({"plain/float64/x": made.arrays["plain/float32/x"]}),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_spoilt_vectors_are_refused(spoil):
    made = copy.deepcopy(make("dense"))
    found = results(made)
    for key in found:
        found[key] = found[key] * (2 if key.endswith("/dW") else 1)
    assert judged(found, made).overall == "WRONG"
    spoil(made)
    with pytest.raises(DataError, match="^--against cannot be used: .*make it anew with"):
        judged(found, made)


@pytest.mark.parametrize("field", ["format", "of", "layout", "dtypes", "cases", "names"])
def test_every_field_of_a_manifest_is_held_to_what_it_should_be(field):
    made = make("tanh")
    found = results(made)
    for value in (None, [], ["x"], 3, 2**70, math.nan, True, "x", "", {}, {"x": "input"}, {"x": None}):
        with pytest.raises(DataError, match="^--against "):
            judged(found, made._replace(manifest={**made.manifest, field: value}))
    with pytest.raises(DataError, match="^--against "):
        judged(found, made._replace(manifest={name: value for name, value in made.manifest.items() if name != field}))
    assert judged(found, made._replace(manifest={**made.manifest, "more": [1], "conventions": None})).ok


def test_vectors_of_another_machine_are_taken():
    """Another order of additions moves results by a part of their tolerance, and the tolerances themselves."""
    made, draw = make("conv2d"), np.random.default_rng(0)
    for key, array in made.arrays.items():
        if f"{key.rpartition('/')[0]}/tolerance_{key.split('/')[2]}" in made.arrays:
            tolerance = made.arrays[f"{key.rpartition('/')[0]}/tolerance_{key.split('/')[2]}"]
            made.arrays[key] = (array + tolerance * draw.uniform(-0.5, 0.5, array.shape)).astype(array.dtype)
        if "/tolerance_" in key:
            made.arrays[key] = (array * draw.uniform(0.1, 10, array.shape)).astype(array.dtype)
    assert judged(results(make("conv2d")), made).ok


@pytest.mark.parametrize("name", ["dense", "batch_norm", "group_norm"])
def test_a_doubled_gradient_is_wrong_whatever_the_tolerances_of_a_file(name):
    made = make(name)
    for key in made.arrays:
        if "/tolerance_" in key:
            made.arrays[key] = made.arrays[key] * (LOOSER - 1)
    for part in ("dx", "dgamma", "dW"):
        found = results(made)
        doubled = [key for key in found if key.endswith(f"/{part}")]
        found |= {key: 2 * found[key] for key in doubled}
        assert len(judged(found, made).wrong().get(part, [])) == len(doubled)
