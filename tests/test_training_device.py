"""Training on a device: data that stay there, noise drawn there, TF32, and too little memory; on CuPy's stand-in."""

import os

import numpy as np
import pytest
import training_tiny
from test_strict_examples import train
from training_tiny import Settings, Tiny

from scratchgan import data, training, xp
from scratchgan.data import Batches
from scratchgan.tools.strict import strict_xp
from scratchgan.training import loop


@pytest.fixture
def as_gpu(monkeypatch):
    with xp.using(strict_xp) as said:
        monkeypatch.setattr(xp, "use", lambda device: said)
        yield


# ---- data ------------------------------------------------------------------------------------------------


def batches_of(*arrays):
    return Batches(*arrays, batch_size=7, rng=np.random.default_rng(3))


def test_batches_of_the_device_are_those_of_the_host():
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1)).astype(np.uint8)
    host = batches_of(images, np.arange(20))
    with xp.using(strict_xp):
        device = batches_of(xp.to_device(images), np.arange(20))  # each where it lies
        for _ in range(5):
            with strict_xp.counting() as counts:
                pictures, labels = device.next()
                signed = data.to_signed(pictures)
            assert (counts.copies, counts.synchronisations) == (1, 0)  # the numbers of the rows, not the pictures
            expected, expected_labels = host.next()
            assert isinstance(signed, strict_xp.ndarray) and signed.dtype == np.float32
            np.testing.assert_array_equal(signed.get(), data.to_signed(expected))
            np.testing.assert_array_equal(labels, expected_labels)


def test_data_go_to_the_device_if_they_fit(monkeypatch):
    array = np.zeros(100, np.uint8)
    assert loop.on_device(array) is array
    with xp.using(strict_xp):
        assert isinstance(loop.on_device(array), strict_xp.ndarray)
        monkeypatch.setattr(loop, "DEVICE_DATA", 99)
        assert loop.on_device(array) is array


# ---- noise -----------------------------------------------------------------------------------------------


def test_a_run_draws_the_same_numbers_on_both_by_default():
    noise = []
    for module in (np, strict_xp):
        with xp.using(module):
            model = Tiny(Settings(), (8, 8, 1), np.random.default_rng(0))
            noise.append(xp.to_host(model.noise(5)))
    np.testing.assert_array_equal(*noise)


def test_device_noise_copies_nothing():
    with xp.using(strict_xp):
        model = Tiny(Settings(device_noise=True), (8, 8, 1), np.random.default_rng(0))
        with strict_xp.counting() as counts:
            first, second = model.noise(500), model.noise(500)
        assert counts.copies == 0 and counts.synchronisations == 0
        assert first.shape == (500, 4) and first.dtype == np.float32
        assert abs(first.get().std() - 1) < 0.05 and not np.array_equal(first.get(), second.get())
        assert not any("device_rng" in name for name in model.state())
        model.load_state(model.state())
        assert not np.array_equal(model.noise(500).get(), first.get())  # not the same noise over again


def test_device_noise_means_nothing_on_a_cpu():
    model, plain = (Tiny(Settings(device_noise=on), (8, 8, 1), np.random.default_rng(0)) for on in (True, False))
    np.testing.assert_array_equal(model.noise(5), plain.noise(5))


def test_a_run_with_device_noise_stops_and_resumes(tmp_path, as_gpu):
    train(tmp_path, 2, device_noise=True)  # DCGAN
    model = train("", 4, resume=tmp_path, device_noise=True)
    assert model.device_rng is not None and np.isfinite(xp.to_host(model.opt_G.flat.value)).all()


# ---- TF32, memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_asked_for_before_cupy_starts(tmp_path, monkeypatch, tf32):
    monkeypatch.delenv("CUPY_TF32", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))  # so that nothing stays behind
    seen = []
    monkeypatch.setattr(xp, "use", lambda device: seen.append(os.environ.get("CUPY_TF32")))
    training.train(Tiny, Settings(steps=1, tf32=tf32, out=str(tmp_path)))
    assert seen == ["1" if tf32 else None]


def test_too_little_memory_on_the_gpu(tmp_path, as_gpu, monkeypatch, capsys):
    class OutOfMemoryError(MemoryError):  # CuPy's is one, too
        pass

    def step(self, batches):
        raise OutOfMemoryError("Out of memory allocating 1,024 bytes")

    monkeypatch.setattr(Tiny, "step", step)
    with pytest.raises(SystemExit) as stopped:
        training.main(Tiny, Settings, ["--steps", "1", "--out", str(tmp_path)])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "not enough memory on the GPU (Out of memory allocating 1,024 bytes): lower --batch-size" in said
    assert "--width" not in said  # which this model has not
    monkeypatch.setattr(training_tiny.Settings, "width", 8, raising=False)
    with pytest.raises(SystemExit):
        training.main(Tiny, Settings, ["--steps", "1", "--out", str(tmp_path / "other")])
    assert "lower --batch-size or --width" in capsys.readouterr().err
