"""What is measured of clips, against closed forms: lines, bounces, what has no order, and what stays."""

import inspect
import textwrap

import numpy as np
import pytest

from scratchgan.data import video
from scratchgan.metrics import video as metrics
from scratchgan.metrics.classifier import Classifier, lenet


def bounced(start, velocity, T=16, low=7.5, high=23.5):
    """A coordinate that is reflected at two borders, step by step."""
    c, v, track = start, velocity, []
    for _ in range(T):
        track.append(c)
        c += v
        if not low <= c <= high:
            c, v = (2 * high - c if c > high else 2 * low - c), -v
    return track


def lines_and_bounces_are_straight():
    """Residual 0 and the right speed: without a bounce, with one at half a frame, with one for each coordinate."""
    t = np.arange(16.0)
    tracks = np.array([
        np.stack([3 + 0.5 * t, 20 - 1.2 * t], axis=1),
        np.stack([10 + 0 * t, 12 + 0 * t], axis=1),
        np.stack([bounced(20, 1.0), bounced(10, 1.0)], axis=1),
        np.stack([bounced(7.75, 1.5), bounced(10, -0.5)], axis=1),
    ])  # fmt: skip
    residual, speed = metrics.straightened(tracks)
    np.testing.assert_allclose(residual, 0, atol=1e-6)
    np.testing.assert_allclose(speed, [1.3, 0, np.sqrt(2), np.hypot(1.5, 0.5)], atol=1e-6)


def test_lines_and_bounces_are_straight():
    lines_and_bounces_are_straight()


def test_two_bounces_are_straight_where_they_lie_apart():
    near, apart = np.array([bounced(high - 2, 1.0, low=8, high=high) for high in (14, 18)])
    tracks = np.stack([np.stack([c, np.zeros(16)], axis=1) for c in (near, apart)])
    residual, speed = metrics.straightened(tracks)
    assert residual[1] < 1e-6 and speed[1] == pytest.approx(1)
    assert residual[0] > 0.5  # nothing here is so fast that it comes back after six frames


def test_the_residual_is_in_pixels():
    """The root of the mean square: noise of deviation s leaves s, less what the fit takes; twice as large, twice."""
    rng = np.random.default_rng(0)
    line = np.stack([np.arange(16.0), np.arange(16.0)], axis=1)
    noisy = line + 0.1 * rng.standard_normal((500, 16, 2))
    residual, speed = metrics.straightened(noisy)
    assert 0.1 < residual.mean() < 0.1 * np.sqrt(2) and speed.mean() == pytest.approx(np.sqrt(2), rel=0.02)
    np.testing.assert_allclose(metrics.straightened(2 * noisy)[0], 2 * residual)
    orders = rng.permuted(np.tile(np.arange(16), (500, 1)), axis=1)
    assert metrics.straightened(line[orders])[0].mean() > 3


def test_centroids():
    m = np.zeros((1, 3, 5, 7), np.float32)
    m[0, 0, 1, 5], m[0, 1, 2, 1:4] = 0.7, 1  # a point, a row of three, nothing
    np.testing.assert_allclose(metrics.tracks(m)[0], [[1, 5], [2, 2], [2, 3]])


# ---- of clips that are known -----------------------------------------------------------------------------


def known(behind, **options):
    return video.load(40, background=behind, **options)


@pytest.mark.parametrize("behind, off", [("black", 0.02), ("still", 0.04)])
@pytest.mark.parametrize("size", [24, 32])
def test_flights_are_seen_as_they_are(behind, off, size):
    clips = known(behind, size=size)
    looks = metrics.look(clips.images, behind)
    assert np.abs(looks.speed - clips.factors["speed"]).mean() < off
    assert looks.residual.max() < 0.5 and (looks.mass > metrics.LEAST).all()


def stays_what_it_is():
    """Followed from its centroid a glyph is in the middle, as large as glyphs are, and the same in all frames."""
    clips = known("black")
    m = metrics.ink(clips.images, "black")
    seen = metrics.followed(m, metrics.tracks(m))
    assert seen.shape == (40, 16, 28, 28, 1) and seen.dtype == np.uint8
    np.testing.assert_allclose(metrics.tracks(seen[..., 0].astype(float)), 13.5, atol=0.3)
    change = np.abs(seen[:, 1:].astype(float) - seen[:, :1]).mean()
    other = np.abs(seen[1:].astype(float) - seen[:-1]).mean()
    assert change < 0.15 * other
    high = (seen > 128).any(axis=(1, 3, 4)).sum(axis=1)  # rows that a digit covers, in one frame or another
    assert 17.5 < high.mean() < 21  # of a box of 20, at a scale from 0.8 to 1.05


def test_stays_what_it_is():
    stays_what_it_is()


class Reader(Classifier):
    """Reads the true label of clips that are known, by what they look like."""

    def __init__(self, clips, behind):
        super().__init__(lenet((28, 28, 1), 10, rng=np.random.default_rng(0)), "glyphs", (28, 28, 1))
        m = metrics.ink(clips.images, behind)
        self.known, self.labels = metrics.followed(m, metrics.tracks(m)), clips.labels

    def predict(self, images):
        x, y = (seen.reshape(len(seen), -1).astype(np.float32) for seen in (images, self.known[:, 8]))
        return self.labels[((x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * x @ y.T).argmin(1)]


@pytest.fixture(scope="module")
def table():
    clips, others = known("black"), known("black", split="test")
    reader = Reader(clips, "black")
    return metrics.baselines(clips.images, others.images, 40, lambda x: metrics.look(x, "black", reader))


def test_the_floor_and_three_that_fail(table):
    assert list(table) == ["floor", "frozen", "independent", "shuffled"]
    off = {who: numbers["off straight flight, px"] for who, numbers in table.items()}
    assert off["floor"] < 0.2 and off["frozen"] < 1e-6 and off["shuffled"] > 1.5 and off["independent"] > 3
    one = {who: numbers["one label in all frames"] for who, numbers in table.items()}
    assert one["floor"] > 0.95 and one["frozen"] == 1 and one["shuffled"] == one["floor"] and one["independent"] < 0.1
    common = {who: numbers["frames of the commonest label"] for who, numbers in table.items()}
    assert common["floor"] > 0.99 and common["frozen"] == 1 and 0.15 < common["independent"] < 0.5
    assert table["frozen"]["change"] == 0 and table["independent"]["change"] > 5 * table["floor"]["change"]
    assert table["frozen"]["speed, px a frame"] < 1e-6 and table["frozen"]["speed, W1"] > 0.5
    distance = {who: numbers["tracks, Fréchet, px^2"] for who, numbers in table.items()}
    assert all(distance[who] > 4 * distance["floor"] for who in ("frozen", "independent", "shuffled")), distance
    assert table["floor"]["FID-LeNet of frames"] >= 0 == table["floor"]["frames without ink"]


def test_held_out_clips_are_at_no_distance_from_themselves():
    looks = metrics.look(known("black").images, "black")
    numbers = metrics.compared(looks, looks)
    assert numbers["speed, W1"] == 0 and numbers["tracks, Fréchet, px^2"] < 1e-6
    assert "one label in all frames" not in numbers and looks.labels is None


def test_blocks_do_not_matter(monkeypatch):
    clips = known("still", frames=8).images
    whole = metrics.look(clips, "still")
    monkeypatch.setattr(metrics, "BLOCK", 7)
    for one, other in zip(whole, metrics.look(clips, "still"), strict=True):
        assert one is other is None or np.allclose(one, other, atol=1e-5)


def test_labels_by_hand():
    looks = metrics.look(known("black").images[:3], "black")
    labels = np.array([[1, 1, 1, 1], [2, 2, 5, 7], [0, 0, 0, 4]])
    numbers = metrics.compared(looks._replace(labels=labels, features=np.eye(3)), looks._replace(features=np.eye(3)))
    assert numbers["one label in all frames"] == 1 / 3
    assert numbers["frames of the commonest label"] == (1 + 0.5 + 0.75) / 3


def test_nothing_is_seen_without_ink():
    looks = metrics.look(np.zeros((3, 8, 24, 24, 1), np.uint8), "black")
    assert not looks.mass.any() and (looks.tracks == 11.5).all() and not looks.residual.any()


# ---- bugs, planted: for each, a test above must fail -------------------------------------------------------

BUGS = {
    "no bounce": ("flights", "if b - a >= APART or b == T - 1", "if a == b == T - 1", lines_and_bounces_are_straight),
    "the speed of one coordinate": ("straightened", "squared_speed = gains.max(axis=2) / length[best]",
                                    "squared_speed = gains.max(axis=2)[:, :1] / length[best][:, :1]",
                                    lines_and_bounces_are_straight),
    "a gain for a speed": ("straightened", "/ length[best]", "", lines_and_bounces_are_straight),
    "rows and columns exchanged": ("tracks", "m.sum(axis=3) @ np.arange(H), m.sum(axis=2) @ np.arange(W_)",
                                   "m.sum(axis=2) @ np.arange(W_), m.sum(axis=3) @ np.arange(H)", stays_what_it_is),
    "looked at where it stands": ("followed", "tracks.reshape(-1, 1, 2))", "0 * tracks.reshape(-1, 1, 2))",
                                  stays_what_it_is),
    "as small as it flies": ("followed", "scale = SEEN / (GLYPH * H / SIZE)", "scale = 1.0", stays_what_it_is),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    name, right, wrong, test = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(getattr(metrics, name)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(metrics), made)
    monkeypatch.setattr(metrics, name, made[name])
    with pytest.raises((AssertionError, ValueError)):
        test()
