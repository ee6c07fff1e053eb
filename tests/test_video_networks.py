"""VGAN's and MoCoGAN's networks: of what a frame is made, what a digit is and where it flies."""

import copy
import inspect

import laws
import numpy as np
import pytest
from test_video_gan import start

from scratchgan.examples.media import video_gan
from scratchgan.layers import GRU, FiLM, Mix
from scratchgan.layers.compose import Sequential
from scratchgan.training import clips

LAWS = (laws.adjoint_in_x, laws.second_order, laws.leaves_inputs_alone, laws.one_tape_serves_twice, laws.none_is_zero)


def frames_of(G, z):
    """The frames that G makes in inference, (N, T, H, W_, 1)."""
    return G(z)[0]


# ---- vgan: a foreground before a background --------------------------------------------------------------


def m_f_and_the_rest_b():
    """m f + (1 - m) b, with f, m and b by hand from what the two streams say, and one b for all frames."""
    model, _ = start("vgan")
    z = model.latent(3, np.random.default_rng(0))
    (y, m), _ = model.G.forward(z)
    (moving, still), _ = model.G.layers[0].forward(z)  # (N, T, H, W_, 3), (N, H, W_, 1)
    f, b = np.tanh(moving[..., :1]), np.tanh(still)[:, None]
    mask = 1 / (1 + np.exp(moving[..., 2:] - moving[..., 1:2]))
    assert y.shape == m.shape == f.shape == (3, 8, 16, 16, 1)
    assert 0.7 < m.mean() < 0.95  # so that f learns before b, which cannot move
    np.testing.assert_allclose(m, mask, atol=1e-5)
    np.testing.assert_allclose(y, mask * f + (1 - mask) * b, atol=1e-5)


def test_m_f_and_the_rest_b():
    m_f_and_the_rest_b()


def test_without_a_mask_there_is_a_still_picture():
    model, _ = start("vgan")
    last = model.G.layers[0].layers[0].layers[-1]
    last.b.value[...] = np.array([0, -200, 200], np.float32)  # f, and the two logits of the mask
    y = model.generate(z := model.latent(2, np.random.default_rng(0)))
    assert not np.array_equal(y[0], y[1]) and np.ptp(model.G(z)[0], axis=1).max() < 1e-6


# ---- what a digit is, and where it flies ------------------------------------------------------------------


def c_is_a_style():
    """By hand: c makes the map, and scales and shifts all channels of its own clip, at all stages."""
    model, _ = start("mocogan")
    c = model.latent(3, np.random.default_rng(0))[:, :6]
    stream = model.G.layers[0].layers[1].layers[1]
    x, told = c, []
    for _, layer in stream.inside():
        if isinstance(layer, FiLM):
            gain, shift = (dense(c) for dense in (layer.gain, layer.shift))  # (N, C)
            across = (3, *[1] * (x.ndim - 2), -1)
            x = (1 + gain.reshape(across)) * x + shift.reshape(across)
            told.append(np.abs(gain).mean())
        else:
            x = layer.forward(x)[0]
    np.testing.assert_allclose(x, stream.forward((c, c))[0], atol=1e-5)
    assert len(told) == 3 and min(told) > 0.1  # from the start


def test_c_is_a_style():
    c_is_a_style()


def test_half_of_c_is_a_kind():
    model, _ = start("mocogan")
    z = model.latent(6000, np.random.default_rng(0))
    assert z.dtype == np.float32 and z.shape == (6000, 33)
    kinds, rest = z[:, :3], z[:, 3:]
    np.testing.assert_allclose(np.sort(kinds, axis=1), np.tile([0, 0, 3**0.5], (6000, 1)), atol=1e-6)
    np.testing.assert_allclose((kinds > 0).mean(axis=0), 1 / 3, atol=0.02)
    np.testing.assert_allclose(np.cov(z.T)[3:, :], np.eye(33)[3:], atol=0.07)
    np.testing.assert_allclose(rest.mean(axis=0), 0, atol=0.06)


def test_a_style_of_another_clip_is_caught(monkeypatch):
    right = FiLM.forward
    monkeypatch.setattr(FiLM, "forward", lambda self, x, train=True: right(self, (x[0], np.roll(x[1], 1, 0)), train))
    for test in (c_is_a_style, content_is_the_clip_s_own):
        with pytest.raises(AssertionError):
            test()


# ---- mocogan: a content for all frames --------------------------------------------------------------------


def content_is_the_clip_s_own():
    """Another c, or s_0, changes all frames of its clip, and no other clip; another e_t frame t and those after it."""
    model, _ = start("mocogan")
    G, z = copy.deepcopy(model.G).astype(np.float64), model.latent(4, np.random.default_rng(0)).astype(float)
    before = frames_of(G, z)
    for part in (slice(0, 6), slice(6, 9)):
        changed = z.copy()
        changed[1, part] += 1
        differ = np.abs(frames_of(G, changed) - before).max(axis=(2, 3, 4)) > 0  # (N, T)
        assert differ[1].all() and not differ[[0, 2, 3]].any()
    changed = z.copy()
    changed[2, 9 + 3 * 5 : 9 + 3 * 6] += 1  # e_6, the first being e_1
    differ = np.abs(frames_of(G, changed) - before).max(axis=(2, 3, 4)) > 0
    np.testing.assert_array_equal(differ[2], np.arange(8) >= 5)
    assert not differ[[0, 1, 3]].any()


def test_content_is_the_clip_s_own():
    content_is_the_clip_s_own()


def test_a_picture_of_another_clip_is_caught(monkeypatch):
    right = Mix.apply
    monkeypatch.setattr(Mix, "apply", lambda self, p, v: right(self, p, np.roll(v, 1, axis=0)))
    with pytest.raises(AssertionError):
        content_is_the_clip_s_own()


def a_frame_is_the_picture_moved():
    """tanh(R f C^T + b), longhand; f is moved, and b is not."""
    model, _ = start("mocogan")
    moves = model.G.layers[1]
    rng = np.random.default_rng(0)
    p, pictures = rng.standard_normal((2, 8, 2)), rng.standard_normal((2, 16, 16, 2))
    found = moves(tuple(x.astype(np.float32) for x in (p, pictures)))
    to, of = np.arange(16)[:, None], np.arange(-1, 17)
    for n, t in np.ndindex(2, 8):
        R, C = (np.exp(-clips.SHARP / 2 * (to - of - 4 * q) ** 2) for q in p[n, t])  # 4: a quarter of a side
        R, C = R / R.sum(1, keepdims=True), C / C.sum(1, keepdims=True)
        f = np.pad(pictures[n, ..., 0], 1)
        np.testing.assert_allclose(found[n, t, :, :, 0], R @ f @ C.T + pictures[n, ..., 1], atol=1e-4)


def a_picture_flies_and_another_stays():
    model, _ = start("mocogan")
    rng = np.random.default_rng(0)
    pictures = np.zeros((1, 16, 16, 2), np.float32)
    pictures[0, 6:10, 5:9, 0] = 1
    p = rng.uniform(-1, 1, (1, 8, 2)).astype(np.float32)
    frames = model.G.layers[1]((p, pictures))[0, ..., 0]
    at = np.arange(16)
    tracks = np.stack([frames.sum(axis=2) @ at, frames.sum(axis=1) @ at], axis=-1) / frames.sum(axis=(1, 2))[:, None]
    np.testing.assert_allclose(tracks, (7.5, 6.5) + 4 * p[0], atol=0.1)  # p in quarters of a side of 16
    pictures[..., 0] = 1
    away = model.G.layers[1]((np.full((1, 8, 2), 2, np.float32), pictures))[0, ..., 0]  # by half a side
    assert away[:, 9:, 9:].min() > 0.99 and abs(away[:, :7]).max() < 1e-3 and abs(away[:, :, :7]).max() < 1e-3
    pictures[..., 0], pictures[..., 1] = 0, rng.standard_normal((16, 16))
    still = model.G.layers[1]((p, pictures))
    np.testing.assert_allclose(still[0], np.broadcast_to(pictures[0, ..., 1:], still[0].shape), atol=1e-6)


def test_a_frame_is_the_picture_moved():
    a_frame_is_the_picture_moved()


def test_a_picture_flies_and_another_stays():
    a_picture_flies_and_another_stays()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_product_of_matrices_obeys_the_laws(law):
    rng = np.random.default_rng(0)
    law(clips.MatrixProduct(), (rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((2, 3, 2, 5))), rng)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_offsets_obey_the_laws(law):
    rng = np.random.default_rng(0)
    law(clips.Offsets(np.arange(5.0), rng.standard_normal(5)), rng.standard_normal((2, 3, 1)), rng)


def test_how_a_picture_is_moved_is_not_learned():
    """If R and C learned, G could draw another digit at each place (docs/video.md)."""
    assert not start("mocogan")[0].G.layers[1].params()


@pytest.mark.parametrize("b", [(2, 3, 4, 6), (2, 4, 4, 5), (2, 3, 5)])
def test_matrices_that_do_not_fit_are_refused(b):
    with pytest.raises(ValueError, match=r"MatrixProduct\(\): got \(2, 3, 4, 5\) and"):
        clips.MatrixProduct().forward((np.ones((2, 3, 4, 5)), np.ones(b)))


def test_states_by_hand():
    """s_1 = GRU(e_1, 0) + s_0, s_t = GRU(e_t, s_t-1); G_I hears tanh(A s_t). At the start s_t moves slowly."""
    model, _ = start("mocogan")
    *states, A, _ = model.G.layers[0].layers[0].layers
    states = Sequential(*states)
    z = model.latent(50, np.random.default_rng(0))
    s, e = z[:, 6:9], z[:, 9:].reshape(50, 8, 3)
    cell = states.layers[-1].cell
    gru = next(layer for _, layer in cell.named_layers() if isinstance(layer, GRU))
    assert gru.gates.b.value.tolist() == [0, 0, 0, 3, 3, 3]  # r, u: how much of s stays
    by_hand, state = [], gru(np.concatenate([e[:, 0], 0 * s], axis=1)) + s
    for t in range(8):
        state = gru(np.concatenate([e[:, t], state], axis=1)) if t else state
        by_hand.append(np.tanh(A(state)))
    p, _ = model.G.layers[0](z)
    np.testing.assert_allclose(p, np.stack(by_hand, axis=1), atol=1e-6)
    slow = np.abs(np.diff(states(z), axis=1)).mean()
    gru.gates.b.value[...] = 0
    assert slow < 0.6 * np.abs(np.diff(states(z), axis=1)).mean()


def test_d_v_sees_all_frames_at_once():
    """Its first layer: another order of the frames gives other features at every place."""
    model, batch = start("mocogan", noise=0)
    first, other = model.D_V.layers[0], model.D_I.layers[0]
    x = (batch / 127.5 - 1).astype(np.float32)
    assert first(x).shape == (5, 1, 8, 8, 4) and other(x[:, :1]).shape == (5, 1, 8, 8, 4)
    np.testing.assert_allclose(first(x), first(x[:, :, ::-1, :][:, :, ::-1]), atol=1e-6)
    assert (np.abs(first(x) - first(x[:, ::-1])).max(axis=-1) > 0).mean() > 0.3  # wherever ink comes by


# ---- bugs, planted: for each, a test above must fail -------------------------------------------------------

BUGS = {
    "no style": ("styled", "BatchNorm(channels), film, ReLU()", "BatchNorm(channels), ReLU()", c_is_a_style),
    "what leaves comes back as a stripe": ("moved", "Pad(((1, 1), (1, 1)))", 'Pad(((1, 1), (1, 1)), mode="reflect")',
                                           a_picture_flies_and_another_stays),
    "rows for columns": ("moved", "rows = Sequential(Part(0), Columns(0, 1)",
                         "rows = Sequential(Part(0), Columns(1, 2)",
                         a_picture_flies_and_another_stays),
    "the wrong way": ("shift", "side / 4 * apart", "side / 4 * -apart",
                      a_picture_flies_and_another_stays),
    "what stays for what flies": ("moved", "f = Sequential(Part(1), Columns(0, 1)",
                                  "f = Sequential(Part(1), Columns(1, 2)",
                                  a_frame_is_the_picture_moved),
    "weights that do not sum to 1": ("shift", "side + 2), Softmax()", "side + 2)",
                                     a_frame_is_the_picture_moved),
    "m for 1 - m": ("two_streams", "Columns(1, 2), Reshape", "Columns(0, 1), Reshape", m_f_and_the_rest_b),
    "f without tanh": ("two_streams", "Columns(0, 1), Tanh(), Flatten()", "Columns(0, 1), Flatten()",
                       m_f_and_the_rest_b),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    name, right, wrong, test = BUGS[bug]
    home = clips if name in vars(clips) else video_gan
    source = inspect.getsource(getattr(home, name))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(home), made)
    monkeypatch.setattr(home, name, made[name])
    monkeypatch.setattr(video_gan, name, made[name], raising=False)
    with pytest.raises((AssertionError, ValueError)):
        test()
