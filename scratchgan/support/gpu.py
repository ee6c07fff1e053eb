"""CuPy, once it is known to work: what can be wrong with a GPU, each an error of its own with its remedy."""

import importlib.metadata
import re

from scratchgan.support.errors import DeviceError


class SeveralCupys(DeviceError):
    """Several CuPy packages are installed, and each has overwritten files of the others."""


class CupyMissing(DeviceError):
    """CuPy is not installed, or its import fails."""


class DriverMissing(DeviceError):
    """There is no NVIDIA driver, or no GPU that it can see."""


class DriverTooOld(DeviceError):
    """The NVIDIA driver is older than the CUDA runtime that CuPy was built for."""


class CudaLibrariesMissing(DeviceError):
    """The driver works, but cuBLAS or NVRTC, which CuPy loads when first needed, does not."""


def load_cupy():
    """Import CuPy and prove that it computes; raise one of five `DeviceError`s, each with its remedy."""
    refuse_several(cupy_packages())
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
    except Exception as error:
        raise reason(error, runtime, too_old if driver < runtime else None) from error
    return cupy


def reason(error, runtime, too_old):
    """Return the DeviceError for what CuPy raised as it computed: a missing library raises one of several types."""
    if type(error).__name__ == "OutOfMemoryError":
        return DeviceError(f"the GPU has no memory left: end what else uses it ({error})")
    remedy = f'pip install "cupy-cuda{runtime // 1000}x[ctk]" brings them'
    return too_old or CudaLibrariesMissing(f"CUDA libraries are missing: {remedy} ({error})")


def cupy_packages():
    """Return the names of all CuPy packages that are installed, such as cupy-cuda13x."""
    names = {distribution.metadata["Name"] or "" for distribution in importlib.metadata.distributions()}
    return sorted(name for name in names if re.fullmatch("cupy|cupy[-_](cuda|rocm).*", name.lower()))


def refuse_several(packages):
    """Raise SeveralCupys for more than one package."""
    if len(packages) > 1:
        raise SeveralCupys(
            f"{len(packages)} CuPy packages are installed, and only one can work: "
            f'pip uninstall {" ".join(packages)}, then pip install "{packages[-1]}[ctk]"'
        )


def version(number):
    """Write CUDA's version number, 1000 major + 10 minor, as people do: 13020 is 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"
