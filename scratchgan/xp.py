"""The array module: NumPy on the CPU or CuPy on the GPU, chosen once and used everywhere as `xp.NAME`.

    from scratchgan import xp
    xp.use("auto")             # once, before any array is made; says what it chose
    xp.zeros((2, 3))           # numpy.zeros or cupy.zeros

Write `xp.zeros`, never `from scratchgan.xp import zeros`: the name is looked up at the moment of the call.
"""

import contextlib
import importlib

import numpy

from scratchgan.errors import DeviceError

_module = numpy


def __getattr__(name):
    return getattr(_module, name)


# ---- choosing --------------------------------------------------------------------------------------------


def use(device="auto"):
    """Choose the array module for all that follows; return a sentence that says what was chosen.

    device: "cpu" for NumPy; "gpu" for CuPy, or a `DeviceError` that says what is missing, never a silent
    fall-back; "auto" for the GPU where one works, else the CPU (the sentence then says why). Or an array module
    itself, such as `scratchgan.testing.strict_xp`, which stands for the GPU.
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


# ---- between host and device -----------------------------------------------------------------------------


def to_host(x):
    """Return x as a NumPy array; from the GPU this copies and waits."""
    return x.get() if hasattr(x, "get") else numpy.asarray(x)


def to_device(x, dtype=None):
    """Return the host array x as an array of the chosen module; on the CPU without a copy where it can."""
    return _module.asarray(x, dtype=dtype)


# ---- what can be wrong with a GPU ------------------------------------------------------------------------


class CupyMissing(DeviceError):
    """CuPy is not installed, or its import fails."""


class DriverMissing(DeviceError):
    """There is no NVIDIA driver, or no GPU that it can see."""


class DriverTooOld(DeviceError):
    """The NVIDIA driver is older than the CUDA runtime that CuPy was built for."""


class CudaLibrariesMissing(DeviceError):
    """The driver works, but cuBLAS or NVRTC, which CuPy loads when first needed, does not."""


def load_cupy():
    """Import CuPy and prove that it computes; raise one of four `DeviceError`s, each with its remedy."""
    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise CupyMissing(f"CuPy is installed but cannot be imported: {error}") from error
        raise CupyMissing(
            'CuPy is not installed: pip install "cupy-cuda13x[ctk]" (or "cupy-cuda12x[ctk]" for a CUDA 12 driver)'
        ) from error
    except ImportError as error:
        raise CupyMissing(f"CuPy is installed but cannot be imported: {error}") from error
    driver = cupy.cuda.runtime.driverGetVersion()
    runtime = cupy.cuda.runtime.runtimeGetVersion()
    if driver == 0:
        raise DriverMissing("no NVIDIA driver was found: install one, or use --device cpu")
    too_old = DriverTooOld(
        f"the NVIDIA driver supports CUDA {version(driver)}, CuPy was built for CUDA {version(runtime)}: "
        "update the driver, or install the CuPy package of its CUDA version (cupy-cuda12x, cupy-cuda13x)"
    )
    if driver // 1000 < runtime // 1000:
        raise too_old
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # with no device to be seen, CuPy raises an error of its own
        raise DriverMissing(f"the NVIDIA driver sees no GPU (is CUDA_VISIBLE_DEVICES set?): {error}") from error
    if count == 0:
        raise DriverMissing("the NVIDIA driver sees no GPU (is CUDA_VISIBLE_DEVICES set?)")
    try:
        ones = cupy.ones((2, 2), dtype=cupy.float32)
        float((ones @ ones + 1).sum())  # cuBLAS, then a kernel compiled by NVRTC
    except Exception as error:  # a missing library shows itself as one of several error types
        if driver < runtime:
            raise too_old from error
        raise CudaLibrariesMissing(
            f'CUDA libraries are missing: pip install "cupy-cuda{runtime // 1000}x[ctk]" brings them ({error})'
        ) from error
    return cupy


def version(number):
    """Write CUDA's version number, 1000 major + 10 minor, as people do: 13020 is 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"
