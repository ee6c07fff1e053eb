"""The array module: NumPy on the CPU or CuPy on the GPU, chosen once, used everywhere as `xp.NAME`.

    from scratchgan import xp
    xp.use("auto")             # once, before any array is made; says what it chose
    xp.zeros((2, 3))           # numpy.zeros or cupy.zeros

Write `xp.zeros`, never `from scratchgan.xp import zeros`: a name is looked up when it is called.
"""

import contextlib

import numpy

from scratchgan.support.errors import DeviceError
from scratchgan.support.gpu import load_cupy

_module = numpy


def __getattr__(name):
    return getattr(_module, name)


# ---- choosing ------------------------------------------------------------------------------------


def use(device="auto"):
    """Choose the array module for all that follows; return a sentence that says what was chosen.

    device: "cpu" for NumPy; "gpu" for CuPy, or a `DeviceError` that says what is missing; "auto"
    for the GPU where one works, else the CPU (the sentence then says why). Or an array module
    itself, such as `scratchgan.tools.strict.strict_xp`, which stands for the GPU.
    """
    global _module
    if not isinstance(device, str):
        _module = device
        return f"{device.__name__} {device.__version__}"
    if device not in ("auto", "cpu", "gpu"):
        raise DeviceError(f"device {device!r} is unknown: choose auto, cpu or gpu")
    reason = ""
    _module = numpy
    if device != "cpu":
        try:
            _module = load_cupy()
        except DeviceError as error:
            if device == "gpu":
                raise
            reason = f" (no GPU: {error})"
    if on_gpu():
        return f"CuPy {_module.__version__} on the GPU"
    return f"NumPy {numpy.__version__} on the CPU{reason}"


@contextlib.contextmanager
def using(device):
    """Within a `with` block, use another device; afterwards, the one from before."""
    global _module
    before = _module
    try:
        yield use(device)
    finally:
        _module = before


def on_gpu():
    """Whether arrays are made on the GPU at present."""
    return _module is not numpy


# ---- between host and device ---------------------------------------------------------------------


def is_array(x):
    """Whether x is an array of either module, the one that is in use or not."""
    return isinstance(x, numpy.ndarray) or (hasattr(x, "get") and hasattr(x, "dtype"))


def to_host(x):
    """Return x as a NumPy array; from the GPU this copies and waits."""
    return x.get() if hasattr(x, "get") else numpy.asarray(x)


def to_device(x, dtype=None):
    """Return the host array x as an array of the chosen module; on the CPU if possible uncopied."""
    return _module.asarray(x, dtype=dtype)
