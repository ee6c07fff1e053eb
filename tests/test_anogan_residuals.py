"""What residuals tell of anomalies, the baselines, and the pictures that are told apart."""

import numpy as np
import pytest

from scratchgan import data
from scratchgan.data import anomalies, phantom
from scratchgan.metrics import anomaly
from scratchgan.metrics.roc import roc_auc
from scratchgan.support.errors import DataError

rng = np.random.default_rng(0)


def pictures(n=20, side=8, channels=1):
    return rng.integers(40, 200, (n, side, side, channels), dtype=np.uint8)


def with_lesions(x, masks, depth=40):
    return (x + depth * masks[..., None]).astype(np.uint8)


# ---- scores ----------------------------------------------------------------------------------------------


def test_what_reconstructs_all_but_the_lesion_has_an_auc_of_1():
    y = pictures()
    anomalous = np.arange(20) % 2 == 1
    masks = anomalous[:, None, None] & (rng.random((20, 8, 8)) < 0.2)
    found = anomaly.measured(with_lesions(y, masks), y, anomalous, masks)
    assert found.pop("pixel, 3 x 3") < 1  # what is beside a lesion lights up, too
    assert found == {"error": 0, "mean square": 1, "largest": 1, "pixel": 1}


@pytest.mark.parametrize("depth", [40, -40])
def test_darker_and_brighter_are_anomalies_alike(depth):
    """A residual that kept its sign would find one of them only."""
    y = pictures()
    anomalous = np.arange(20) < 10
    masks = anomalous[:, None, None] & (rng.random((20, 8, 8)) < 0.2)
    found = anomaly.measured(with_lesions(y, masks, depth), y, anomalous, masks)
    assert found["pixel"] == found["mean square"] == found["largest"] == 1


def test_bytes_are_subtracted_as_numbers():
    x, y = np.zeros((2, 8, 8, 1), np.uint8), np.zeros((2, 8, 8, 1), np.uint8)
    x[0, 3, 3], y[0, 3, 3] = 0, 250  # as bytes, 0 - 250 would be 6
    x[1, 3, 3], y[1, 3, 3] = 20, 0
    assert anomaly.measured(x, y, np.array([True, False]))["largest"] == 1


def test_scores_by_brute_force():
    x, y = pictures(12, channels=3), pictures(12, channels=3)
    anomalous, masks = np.arange(12) % 3 == 0, rng.random((12, 8, 8)) < 0.3
    own = rng.random(12)
    found = anomaly.measured(x, y, anomalous, masks, own)
    error = np.abs(x.astype(float) - y)
    residual, smooth = error.mean(-1), np.empty((12, 8, 8))
    for i in range(8):
        for j in range(8):
            near = [residual[:, np.clip(i + a, 0, 7), np.clip(j + b, 0, 7)] for a in (-1, 0, 1) for b in (-1, 0, 1)]
            smooth[:, i, j] = np.mean(near, axis=0)
    np.testing.assert_allclose(anomaly.averaged(residual), smooth)
    assert found["own score"] == roc_auc(own, anomalous)
    assert found["mean square"] == pytest.approx(roc_auc((error**2).mean((1, 2, 3)), anomalous), abs=1e-9)
    assert found["largest"] == pytest.approx(roc_auc(smooth.max((1, 2)), anomalous), abs=0.03)  # ties in float32
    assert found["pixel"] == pytest.approx(roc_auc(residual, masks), abs=1e-3)
    assert found["pixel, 3 x 3"] == pytest.approx(roc_auc(smooth, masks), abs=1e-3)
    assert found["error"] == pytest.approx(((error / 127.5) ** 2)[~anomalous].mean())


def test_without_masks_nothing_is_said_of_pixels():
    x, y = pictures(), pictures()
    assert anomaly.measured(x, y, np.arange(20) < 5).keys() == {"error", "mean square", "largest"}


def test_pictures_that_do_not_belong_together():
    with pytest.raises(ValueError, match="^measured: wanted uint8"):
        anomaly.measured(pictures(), pictures()[:5], np.arange(20) < 5)
    with pytest.raises(ValueError, match="^roc_auc: 20 positives and 0 negatives"):
        anomaly.measured(pictures(), pictures(), np.ones(20, bool))


# ---- baselines -------------------------------------------------------------------------------------------


def test_principal_components_are_those_of_the_svd():
    known, x = pictures(50), pictures(10)
    rows, test = known.reshape(50, -1) / 1.0, x.reshape(10, -1) / 1.0
    mean = rows.mean(0)
    _, _, V = np.linalg.svd(rows - mean, full_matrices=False)
    for k in (1, 5, 20):
        wanted = mean + (test - mean) @ V[:k].T @ V[:k]
        wanted = np.clip(wanted, 0, 255).reshape(x.shape)
        assert np.abs(anomaly.principal(known, x, k) - wanted).max() < 0.501


def test_no_component_is_the_mean_and_all_are_the_picture():
    known, x = pictures(200), pictures(5)
    mean = np.rint(known.mean(0)).astype(np.uint8)
    np.testing.assert_array_equal(anomaly.principal(known, x, 0), np.broadcast_to(mean, x.shape))
    for k in (64, 1000):
        np.testing.assert_array_equal(anomaly.principal(known, x, k), x)


def test_components_are_of_the_known_pictures_alone():
    """A picture of the test set, such as a lesion, changes nobody's reconstruction."""
    known, x = pictures(50), pictures(10)
    np.testing.assert_array_equal(anomaly.principal(known, x, 8)[:3], anomaly.principal(known, x[:3], 8))


def test_the_nearest_picture():
    known = pictures(40)
    np.testing.assert_array_equal(anomaly.nearest(known, known[::-1]), known[::-1])
    x = pictures(7)
    distances = ((known[None].astype(float) - x[:, None]) ** 2).sum((2, 3, 4))
    np.testing.assert_array_equal(anomaly.nearest(known, x), known[distances.argmin(1)])
    many = np.concatenate([x] * 150)  # more than are looked at at once
    np.testing.assert_array_equal(anomaly.nearest(known, many)[-7:], anomaly.nearest(known, x))


def test_the_table_and_the_picture():
    known, test = pictures(50), anomalies.Anomalies(pictures(), np.arange(20) < 8, np.zeros((20, 8, 8), bool))
    test.masks[:8, 2, 3] = True
    y = test.images.copy()
    y[0] //= 2
    found = anomaly.table("this", test, known, y, np.arange(20.0))
    assert list(found) == ["this", "PCA 32", "PCA 64"]
    lines = anomaly.text(found).splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    assert lines[1].split()[:3] == ["this", "0.0000", "0.0000"] and lines[2].split()[3] == "-"
    shown = anomaly.picture(test, y)
    assert shown.shape[1] == 16 * 10 + 2 and shown.shape[0] == 2 * 10 + 2  # 8 anomalies, 4 in a row
    assert anomaly.picture(test._replace(masks=None), y).shape[1] == 12 * 10 + 2


# ---- what is told apart ----------------------------------------------------------------------------------


def test_heads_to_learn_from_and_to_be_measured_on(monkeypatch):
    monkeypatch.setattr(anomalies, "LEARNED", 50)
    monkeypatch.setattr(anomalies, "TESTED", 20)
    anomalies.load.cache_clear()
    train, test = anomalies.load("phantom"), anomalies.load("phantom", "test")
    anomalies.load.cache_clear()
    assert train.images.shape == (50, 32, 32, 1) and not train.anomalous.any() and train.masks is None
    np.testing.assert_array_equal(train.images, phantom.load(50).images)
    np.testing.assert_array_equal(test.anomalous, np.arange(40) >= 20)
    np.testing.assert_array_equal(test.masks.any(axis=(1, 2)), test.anomalous)
    every = np.concatenate([train.images, test.images]).reshape(90, -1).astype(float)
    apart = ((every[:, None] - every[None]) ** 2).mean(-1)
    assert apart[~np.eye(90, dtype=bool)].min() > 50  # no head twice, ill or healthy


def test_lesions_painted_into_pictures():
    plain = np.full((300, 32, 32, 1), 128, np.uint8)
    painted, masks = phantom.painted(plain, seed=4)
    changed = np.abs(painted[..., 0].astype(int) - 128)
    assert (masks.sum(axis=(1, 2)) >= 3).all() and (plain == 128).all()
    assert changed[masks].min() >= 0.5 * 0.15 * 255 - 1 and changed[~masks].max() <= 0.5 * 0.35 * 255 + 1
    assert ((changed > 0).sum((1, 2)) > 0).all() and masks.any(0).mean() > 0.7  # everywhere
    again, _ = phantom.painted(plain[:3], seed=4)
    np.testing.assert_array_equal(again, painted[:3])


def test_a_retina(monkeypatch):
    """Where scikit-image is installed; else a line says how to install it."""
    monkeypatch.setattr(anomalies, "LEARNED", 20)
    monkeypatch.setattr(anomalies, "TESTED", 10)
    anomalies.load.cache_clear()
    try:
        train, test = (anomalies.load("retina", split) for split in ("train", "test"))
    except DataError as error:
        assert "pip install --no-deps scikit-image" in str(error)
        return
    finally:
        anomalies.load.cache_clear()
    assert train.images.shape == (20, 32, 32, 1) and test.images.shape == (20, 32, 32, 1)
    np.testing.assert_array_equal(test.anomalous, np.arange(20) >= 10)
    np.testing.assert_array_equal(test.masks.any(axis=(1, 2)), test.anomalous)


def test_one_class_against_the_others():
    train, test = (anomalies.load("glyphs", split, 7) for split in ("train", "test"))
    drawn, held_out = (data.load_images("glyphs", split=split) for split in ("train", "test"))
    np.testing.assert_array_equal(train.images, drawn.images[drawn.labels == 7])
    np.testing.assert_array_equal(test.anomalous, held_out.labels != 7)
    assert len(test.images) == 10_000 and test.masks is None


def test_some_of_them_evenly():
    every = anomalies.Anomalies(pictures(), np.arange(20) >= 10, np.zeros((20, 8, 8), bool))
    assert every.some(0) is every and every.some(99) is every
    some = every.some(4)
    np.testing.assert_array_equal(some.anomalous, [False, False, True, True])
    np.testing.assert_array_equal(some.images, every.images[[0, 6, 12, 19]])
    assert every._replace(masks=None).some(4).masks is None


def test_bad_sets(tmp_path):
    for number in range(3):
        data.images.Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / f"{number}.png")
    with pytest.raises(DataError, match="has no class 0 that could be the normal one"):
        anomalies.load(str(tmp_path))
    with pytest.raises(DataError, match="^glyphs has no class 10"):
        anomalies.load("glyphs", normal=10)
    with pytest.raises(DataError, match="^There is no split 'all'"):
        anomalies.load("glyphs", "all")
