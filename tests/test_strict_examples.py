"""Every example on the strict stand-in for CuPy: its steps never wait for the device, and take no more operations.

    python tests/test_strict_examples.py        # count again, and write the table: say in the commit why it grew

`operations.json` holds, for small batches, the operations and copies of the costlier one of an example's first two
steps. On a GPU each operation costs the host time, however small its arrays are.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from test_examples import EXAMPLES, GAMES, start

from scratchgan import training, xp
from scratchgan.examples import dcgan
from scratchgan.fast import threads
from scratchgan.fast.sums import kept_ones
from scratchgan.layers import Layer
from scratchgan.support.errors import TrainingError
from scratchgan.tools.strict import strict_xp

# The problem of the one is on the host, which asks what is done; the other looks at held-out pieces every few steps.
ON_HOST = {"gail", "chorales"}
DEVICE = [name for name in EXAMPLES if name not in ON_HOST]
TABLE = Path(__file__).with_name("operations.json")
REGENERATE = "python tests/test_strict_examples.py writes the table anew"


def two_steps(name, module=strict_xp):
    """Return a model after two steps on an array module, their losses, and the counts of the costlier step."""
    kept_ones.cache_clear()  # or the counts would depend on what ran before
    with xp.using(module):
        model, batches = start(name)
        losses, costs = [], []
        for _ in range(2):
            with strict_xp.counting() as counts:
                losses.append(model.step(batches))
            costs.append(counts)
        return model, losses, max(costs, key=lambda counts: counts.operations)


@pytest.fixture(scope="module", params=DEVICE)
def example(request):
    return request.param, *two_steps(request.param)


def test_a_step_never_waits(example):
    *_, counts = example
    assert counts.operations > 0 and counts.synchronisations == 0, counts


def test_operations_do_not_grow(example):
    name, *_, counts = example
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    assert name in table, f"{name} is not in {TABLE.name}: {REGENERATE}"
    print(f"{name}: {counts.operations} operations and {counts.copies} copies a step, {table[name]} in the table")
    more = f"{name} takes {counts.operations} operations a step, {table[name]} in {TABLE.name}; {REGENERATE}\n{counts}"
    assert counts.operations <= table[name]["operations"], more
    assert counts.copies <= table[name]["copies"], more


def test_the_numbers_are_those_of_numpy(example):
    """The losses of two steps; weights may differ where a gradient is all rounding, which Adam magnifies."""
    name, _, losses, _ = example
    for own, expected in zip(losses, two_steps(name, np)[1], strict=True):
        assert own.keys() == expected.keys()
        for key, loss in own.items():
            assert loss.shape == () and isinstance(loss, strict_xp.ndarray)
            np.testing.assert_allclose(float(loss), expected[key], rtol=1e-3, atol=1e-4, err_msg=key)


def test_pictures_reports_and_checkpoints(example):
    """What is drawn and measured comes to the host, and NumPy goes on from a checkpoint of the device."""
    name, model, *_ = example
    with xp.using(strict_xp):
        z = model.latent(9, np.random.default_rng(0))
        picture, state = model.picture(xp.to_device(z)), model.state()
        assert picture.dtype == np.uint8 and isinstance(picture, np.ndarray)
        assert all(np.isfinite(float(number)) for number in model.report().values())
        samples = model.generate(xp.to_device(z)).get()
    assert all(type(array) is np.ndarray for array in state.values())
    other, _ = start(name)
    other.load_state(state)
    np.testing.assert_allclose(other.generate(z), samples, rtol=1e-4, atol=1e-5)
    with xp.using(strict_xp):
        model.load_state(state)
        networks = [part for part in vars(model).values() if isinstance(part, Layer)]
        assert networks and all(isinstance(param.value, xp.ndarray) for net in networks for param in net.params())


@pytest.mark.parametrize("name", [name for name in GAMES if name != "text_to_image"])
def test_noise_of_the_device_is_not_copied(name):
    """But for text to image, whose captions are words and drawn on the host."""
    with xp.using(strict_xp):
        model, batches = start(name, device_noise=True)
        with strict_xp.counting() as counts:
            losses = model.step(batches)
    assert counts.synchronisations == 0 and all(np.isfinite(float(loss)) for loss in losses.values())
    assert counts.copies < json.loads(TABLE.read_text(encoding="utf-8"))[name]["copies"], counts


def test_the_table_names_no_example_that_is_gone():
    assert set(json.loads(TABLE.read_text(encoding="utf-8"))) <= set(EXAMPLES)


# ---- the training loop, with the stand-in in place of the device that it asks for ------------------------


@pytest.fixture
def as_gpu(monkeypatch):
    with xp.using(strict_xp) as said:
        monkeypatch.setattr(xp, "use", lambda device: said)
        yield


def train(out, steps, resume=None, **options):
    settings = dcgan.Settings(
        batch_size=4, width=2, average=0.9, sample_every=2, checkpoint_every=2, log_every=1, steps=steps, out=str(out),
        **options,
    )  # fmt: skip
    return training.train(dcgan.DCGAN, settings, resume=resume)


def test_a_run_on_the_device_resumes_exactly_and_is_read_without_it(tmp_path, as_gpu):
    straight = train(tmp_path / "straight", 4).state()
    train(tmp_path / "halves", 2)
    resumed = train("", 4, resume=tmp_path / "halves")
    assert threads.count == 1  # blocks of our own are for a CPU
    for path, array in resumed.state().items():
        np.testing.assert_array_equal(array, straight[path], err_msg=path)
    with xp.using(np):
        model = training.load_model(dcgan.DCGAN, dcgan.Settings, tmp_path / "halves")
        for path, array in model.state().items():
            np.testing.assert_array_equal(array, straight[path], err_msg=path)


def test_a_nan_on_the_device_is_found(tmp_path, as_gpu):
    with pytest.raises(TrainingError, match="Not finite at step"):
        train(tmp_path, 4, lr=1e30)


if __name__ == "__main__":
    found = {}
    for name in DEVICE:
        counts = two_steps(name)[-1]
        found[name] = {"operations": counts.operations, "copies": counts.copies}
        print(f"{counts.operations:6} operations {counts.copies:3} copies  {name}")
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in found.items())
    TABLE.write_text("{\n" + rows + "\n}\n", encoding="utf-8")
    print(f"wrote {TABLE.name}")
