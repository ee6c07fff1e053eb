"""Test vectors: what they hold, what can be read back, and what `verify` says of results that are right or wrong."""

import math
import os
import random
from unittest import mock

import numpy as np
import pytest

from scratchgan.support.errors import DataError, SettingsError, UserError
from scratchgan.vectors import files, references
from scratchgan.vectors.files import Vectors
from scratchgan.vectors.layouts import LAYOUTS, axis_kinds, from_layout, to_layout
from scratchgan.vectors.make import make
from scratchgan.vectors.verify import verify

NAMES = list(references.LAYERS)


def results(made, dtype="float32", second_order=True):
    """Return what correct code would write: {key: array} of one dtype."""
    orders = ("forward", "backward", "second order")[: 3 if second_order else 2]
    keys = [key for key in made.arrays if made.manifest["names"].get(key.split("/")[-1]) in orders]
    return {key: made.arrays[key].copy() for key in keys if key.split("/")[1] == dtype}


def judged(found, made, skip=()):
    return verify(Vectors({}, found), made, skip)


@pytest.fixture(scope="module")
def conv2d():
    return make("conv2d")


# ---- what they hold --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_same_numbers_each_time_and_correct_results_agree(name):
    made = make(name)
    assert files.as_npz(made) == files.as_npz(make(name))
    for dtype in ("float64", "float32"):
        outcome = judged(results(made, dtype), made)
        assert outcome.ok, str(outcome)
    for key, array in made.arrays.items():
        assert np.all(np.isfinite(array)), key
        case, dtype, array_name = key.split("/")
        if made.manifest["names"].get(array_name) == "input":  # the same numbers in both dtypes
            np.testing.assert_array_equal(made.arrays[f"{case}/float64/{array_name}"], array)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wrong_array_is_wrong_in_every_case(name, layout):
    """Each result in turn: one entry off by a thousandth of the largest, wherever that is more than rounding."""
    made = make(name, layout)
    right = results(made)
    for wrong in {key.split("/")[2] for key in right}:
        found, expected = dict(right), set()
        for key, array in right.items():
            case, dtype, own = key.split("/")
            change = 1e-3 * np.max(np.abs(array))
            tolerance = made.arrays[f"{case}/{dtype}/tolerance_{own}"].reshape(-1)
            if own == wrong and change > 2 * tolerance[-1]:
                found[key] = array.copy()
                found[key].reshape(-1)[-1] += change
                expected.add(f"{case}/{dtype}")
        pairs = {key: report for key, report in judged_fast(found, made).items() if "WRONG" in report.values()}
        assert set(pairs) == expected
        assert all(names == {wrong} for names in ({n for n, v in r.items() if v == "WRONG"} for r in pairs.values()))


def judged_fast(found, made):
    """As `judged`, without the search for causes: {CASE/DTYPE: {name: verdict}}. Nor are the vectors made again."""
    own = mock.patch("scratchgan.vectors.verify.make", lambda of, layout: made)
    with mock.patch("scratchgan.vectors.verify.explain"), own:
        return {key: report.verdict for key, report in judged(found, made).reports.items()}


def test_every_layer_has_vectors():
    from scratchgan import layers

    written = {type(case.layer).__name__ for name in NAMES for case in references.cases(name)}
    bases = {"Layer", "LinearMap", "FixedMap", "Pointwise", "Surprise", "Bilinear", "RandomLinear"}
    containers = {"Sequential", "Residual", "Concat", "Fork", "Each"}
    moved = {"Flatten", "Reshape", "Crop", "Blur", "PixelUnshuffle"}  # nothing that could go wrong otherwise
    drawn = {"Dropout", "GaussianNoise", "GaussianSample", "PhaseShuffle"}  # their y is random
    drawn |= {"Noise", "Brightness", "Contrast", "Shift", "Cutout", "Warp"}
    styles = {"Demodulation", "ModulatedConv2d", "Styled", "Constant", "Synthesis", "Bias", "Row"}  # of one family
    styles |= {"Blend", "Fade", "Gain", "PictureAttention"}
    pairs = {"Add", "Dot", "Join", "Mix", "Modulate", "Part", "Scores"}  # they take a tuple, and a case has one x
    told = {"Conditional", "ConditionalAffine", "ConditionalBatchNorm", "LabelChannels", "Projection"}  # (x, labels)
    told |= {"FiLM"}  # (x, style)
    told |= {"Recurrent", "RNN", "LSTM", "LSTMGates", "GRU", "GRUGates", "Attention", "Causal", "Columns"}  # sequences
    ours = {"Closeness", "Maxout", "MinibatchDiscrimination", "MinibatchStd", "Pack", "Rotations"}  # and of GANs alone
    assert set(layers.__all__) - bases - containers - moved - drawn - styles - pairs - told - ours <= written


def test_sums_in_another_order_agree(conv2d):
    """float32 code that adds one term after the other is right, for every case of the convolution and of dense."""
    found = {}
    for case in references.cases("conv2d"):
        given = {k.split("/")[2]: a for k, a in conv2d.arrays.items() if k.startswith(f"{case.name}/float32/")}
        if case.layer.groups == 1:
            found |= {f"{case.name}/float32/{name}": a for name, a in one_by_one(case.layer, given).items()}
    outcome = judged(found, conv2d, skip=["groups", "depthwise", "everything"])
    assert outcome.ok, str(outcome)


def one_by_one(layer, given):
    """Return y, dx, dW and db of a convolution, each a float32 sum with one addition after the other."""
    x, W, b, dy = given["x"], given["W"], given["b"], given["dy"]
    y, dx, dW, db = np.zeros_like(dy) + b, np.zeros_like(x), np.zeros_like(W), np.zeros_like(b)
    for n, i, j in np.ndindex(dy.shape[:3]):
        db += dy[n, i, j]
        for k, l in np.ndindex(W.shape[:2]):
            h = i * layer.stride[0] + k * layer.dilation[0] - layer.padding[0]
            w = j * layer.stride[1] + l * layer.dilation[1] - layer.padding[1]
            if 0 <= h < x.shape[1] and 0 <= w < x.shape[2]:
                for c in range(x.shape[3]):
                    y[n, i, j] += x[n, h, w, c] * W[k, l, c]
                    dW[k, l, c] += x[n, h, w, c] * dy[n, i, j]
                for o in range(dy.shape[3]):
                    dx[n, h, w] += dy[n, i, j, o] * W[k, l, :, o]
    return {"y": y, "dx": dx, "dW": dW, "db": db}


def test_half_precision_and_a_one_pass_variance_are_wrong():
    made = make("dense")
    found = results(made, second_order=False)
    for key in found:
        found[key] = found[key].astype("float16").astype("float32")
    assert judged(found, made).overall == "WRONG"
    made = make("batch_norm")
    found = results(made, second_order=False)
    x = made.arrays["offset/float32/x"]
    axes = (0, 1, 2)
    var = (x * x).mean(axes) - x.mean(axes) ** 2  # in float32: both are about 10^4, and var is about 1
    xhat = (x - x.mean(axes)) / np.sqrt(var + np.float32(1e-5))
    found["offset/float32/y"] = xhat * made.arrays["offset/float32/gamma"] + made.arrays["offset/float32/beta"]
    outcome = judged(found, made)
    assert outcome.wrong()["y"] == ["offset/float32"]


# ---- files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", files.FORMATS)
@pytest.mark.parametrize("name", ["conv2d", "embedding"])
def test_what_is_written_is_read_back(tmp_path, format, name):
    made = make(name)
    files.write(tmp_path / "file", format, made)
    back = files.read(tmp_path / "file")
    assert back.manifest == made.manifest and back.arrays.keys() == made.arrays.keys()
    assert list(back.arrays) == list(made.arrays)  # the simplest case first
    for key, array in made.arrays.items():
        assert back.arrays[key].dtype == array.dtype and back.arrays[key].shape == array.shape, key
        np.testing.assert_array_equal(back.arrays[key], array)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # nothing is left behind


def test_numpy_and_unzip_read_the_npz(tmp_path, conv2d):
    files.write(tmp_path / "conv2d.npz", "npz", conv2d)
    with np.load(tmp_path / "conv2d.npz") as archive:
        np.testing.assert_array_equal(archive["groups/float32/W"], conv2d.arrays["groups/float32/W"])
        assert archive["groups/settings/groups"] == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'{"plain/float32/dW": [1, 2', "cannot be read as JSON"),
        ("a.json", b'{"plain/float32/dW": [[1], [2, 3]]}', "plain/float32/dW is no array of numbers"),
        ("a.json", b'{"plain/float32/dW": {"shape": [2]}}', "plain/float32/dW is no array of numbers"),
        ("a.npz", b"PK damaged", "damaged"),
        ("a.json", b'{"plain/float64/y": [1], "plain/float64/x": {"data": [1], "shape": [2]}}', "no array of numbers"),
        ("a.json", b'{"z": {"data": [1], "dtype": []}}', "wanted real numbers"),
        ("a.json", b'{"z": {"data": [1], "dtype": 3}}', "no array of numbers"),
        ("a.json", b'{"plain/float64/y": {"data": [1], "dtype": "int64,int64"}}', "wanted real numbers"),
        ("a.json", b'{"plain/float64/y": {"data": [18446744073709551616], "dtype": "int64"}}', "no array of numbers"),
        ("a.json", b'{"plain/float64/y": %s1%s}' % (b"[" * 100, b"]" * 100), "no array of numbers"),
        ("a.json", b'{"plain/float64/y": %s1%s}' % (b"[" * 40, b"]" * 40), "has 40 axes"),
        ("a.json", b'{"plain/float64/y": %s}' % (b"[" * 100000), "cannot be read as JSON"),
        ("a.json", b"[" * 100000, "no results file"),
        ("a.json", b'{"a": 1' + b"0" * 5000 + b"}", "cannot be read as JSON"),
        ("a.json", b'{"a": "\xff"}', "cannot be read as JSON"),
        ("a.json", b'[{"plain/float64/y": [1]}]', "no results file"),
        ("a.json", b'{"arrays": [1]}', "must be objects"),
        ("a.json", b'{"arrays": null}', "must be objects"),
        ("a.json", b'{"manifest": 1}', "must be objects"),
        ("a.json", b'{"plain/float64/y": [1%s]}' % (b"0" * 400), "plain/float64/y is no array of numbers"),
        ("a.json", b'{"plain/float64/y": {"data": ["a"], "dtype": "str"}}', "wanted real numbers"),
        ("a.npz", b"", "no results file"),
        ("a.csv", b"1,2,3", "no results file"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        files.read(tmp_path / name)
    assert name in str(caught.value)


@pytest.mark.parametrize("format", files.FORMATS)
def test_no_damage_of_a_file_is_more_than_an_error(tmp_path, format):
    """Bytes that are changed, lost or put in: of the vectors, or of the results; dx is doubled, and stays so."""
    made = make("tanh")
    found = Vectors({}, results(made, "float64"))
    found.arrays["plain/float64/dx"] *= 2
    for name, content in (("vectors", made), ("results", found._replace(manifest={"conventions": []}))):
        files.write(tmp_path / name, format, content)
    draw, wrong = random.Random(0), 0
    for name in ["vectors", "results"] * 60:
        content, held = (tmp_path / name).read_bytes(), {"vectors": made, "results": found}
        start, size = draw.randrange(len(content)), draw.choice([0, 1, 1, 20, len(content)])
        put = bytes(draw.randrange(256) for _ in range(draw.choice([0, size % 100])))
        (tmp_path / "damaged").write_bytes(content[:start] + put + content[start + size :])
        try:
            held[name] = files.read(tmp_path / "damaged")
            outcome = judged_fully(held["results"].arrays, held["vectors"])
        except DataError as error:
            assert "damaged" in str(error) or "--against" in str(error) or "the results hold" in str(error)
        else:
            wrong += outcome.overall == "WRONG"
            assert outcome.overall == "WRONG" or name == "results"
    assert wrong  # of what matters to nobody, such as a date


def judged_fully(found, made):
    with mock.patch("scratchgan.vectors.verify.explain"):
        return judged(found, made)


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices as files")
def test_only_files_of_a_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(40 << 30)
    for path, message in [(tmp_path, "a folder"), (tmp_path / "pipe", "a pipe"), ("/dev/zero", "a device"),
                          (tmp_path / "sparse", "more than"), ("a\0b", "null"), ("x" * 5000, "too long"),
                          (tmp_path / "none" / "there", "no file")]:  # fmt: skip
        with pytest.raises(DataError, match=message):
            files.read(path)
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(files.LARGEST // 8 + 1))
    with pytest.raises(DataError, match="unpacks to more"):
        files.read(tmp_path / "bomb.npz")
    for path in (".", "/", "/dev/null", "/dev/stdout", tmp_path, "a\0b", "x" * 300, tmp_path / "none" / "there"):
        with pytest.raises(UserError, match="Cannot write"):
            files.write(path, "npz", make("tanh"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_json_in_any_unicode_is_read(tmp_path, encoding):
    (tmp_path / "a.json").write_text('\n {"plain/float32/dW": [nan, 1.5], "ä": [2]}', encoding=encoding)
    arrays = files.read(tmp_path / "a.json").arrays
    np.testing.assert_array_equal(arrays["plain/float32/dW"], [math.nan, 1.5])
    assert arrays["ä"] == [2]


def test_a_name_is_proposed():
    with pytest.raises(SettingsError, match="did you mean batch_norm"):
        make("BatchNorm")


def test_json_takes_what_c_prints(tmp_path):
    (tmp_path / "a.json").write_text('{"plain/float32/dW": [nan, -nan, inf, -inf, 1.5]}')
    array = files.read(tmp_path / "a.json").arrays["plain/float32/dW"]
    assert array.dtype == "float32"
    np.testing.assert_array_equal(array, [math.nan, math.nan, math.inf, -math.inf, 1.5])


# ---- verdicts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", LAYOUTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("flat", [False, True])
def test_layouts_are_recognised(written, layout, flat):
    made, kinds = make("conv2d", written), axis_kinds("conv2d")
    found = {}
    for key, array in results(made).items():
        kind = kinds.get(key.split("/")[2])
        array = to_layout(from_layout(array, kind, written), kind, layout)
        found[key] = array.ravel() if flat else array
    outcome = judged(found, made)
    assert outcome.ok, str(outcome)
    said = [note for note in outcome.notes if "recognised" in note]
    assert said == ([] if layout == written else [f"y, dx, dW, ddy, bend_W: recognised as {layout}"])


def test_what_is_missing_is_unresolved_unless_it_is_skipped(conv2d):
    found = {key: array for key, array in results(conv2d).items() if not key.startswith("groups/") and "/dW" not in key}
    outcome = judged(found, conv2d)
    assert outcome.overall == "UNRESOLVED" and "plain/float32/dW" in outcome.missing
    assert judged(found, conv2d, skip=["groups", "dW"]).ok
    with pytest.raises(DataError, match="wanted keys such as plain/float64/y"):
        judged({"dW": np.zeros(3)}, conv2d)
    with pytest.raises(DataError, match="test vectors themselves"):
        verify(conv2d, conv2d)


def test_wrong_shapes_and_nan_are_wrong(conv2d):
    found = results(conv2d)
    found["plain/float32/dW"] = found["plain/float32/dW"][:1]
    outcome = judged(found, conv2d)
    assert outcome.overall == "WRONG" and outcome.wrong()["dW"] == ["plain/float32"]
    assert "dW has shape (1, 3, 2, 3), wanted (3, 3, 2, 3)" in str(outcome)
    found = results(conv2d)
    found["plain/float32/dx"].reshape(-1)[0] = math.nan
    assert judged(found, conv2d).wrong()["dx"] == ["plain/float32"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("name", "array", "bug", "kind"),
    [
        ("conv2d", "dW", lambda a, g: -a, "sign"),
        ("dense", "dW", lambda a, g: a / len(g["x"]), "scale"),
        ("dense", "dx", lambda a, g: 2 * a, "scale"),
        ("batch_norm", "dx", lambda a, g: g["dy"] * g["gamma"] / np.sqrt(g["x"].var((0, 1, 2)) + 1e-5), "statistics"),
        ("tanh", "dx", lambda a, g: g["dy"] * (1 - g["x"] ** 2), "location"),  # arrays have no code to try changes of
        ("sigmoid", "bend", lambda a, g: np.zeros_like(a), "bend"),
    ],
)
def test_bugs_are_wrong_with_their_cause(name, array, bug, kind, layout):
    made = make(name, layout)
    found, kinds = results(made), axis_kinds(name)
    case = references.cases(name)[0 if name != "batch_norm" else 2].name
    at = lambda n: from_layout(made.arrays[f"{case}/float32/{n}"], kinds.get(n), layout)
    given = {n: at(n) for n, order in made.manifest["names"].items() if order == "input"}
    key = f"{case}/float32/{array}"
    found[key] = to_layout(np.asarray(bug(at(array), given), "float32"), kinds.get(array), layout)
    outcome = judged(found, made)
    assert outcome.wrong()[array] == [f"{case}/float32"]
    causes = outcome.reports[f"{case}/float32"].causes
    assert kind in [cause.kind for cause in causes[:2]], causes


def test_float64_computed_in_float32_is_named(conv2d):
    found = {key: array.astype("float32").astype(float) for key, array in results(conv2d, "float64").items()}
    outcome = judged(found, conv2d)
    assert outcome.overall == "WRONG"
    assert outcome.reports["plain/float64"].causes[0].kind == "dtype"
