"""`python -m scratchgan doctor`: what this machine computes with, and what to install for a GPU."""

import argparse
import ctypes
import importlib.metadata
import os
import platform
import shutil
import warnings

import numpy as np
from threadpoolctl import threadpool_info

from scratchgan.fast import threads
from scratchgan.support import gpu
from scratchgan.support.errors import DeviceError


def main(arguments=()):
    """Print a line for each thing, and what to do where one is missing; return 0."""
    description = "Print what was found: NumPy and its BLAS, CuPy, driver, CUDA libraries, GPU; and what to install."
    argparse.ArgumentParser("python -m scratchgan doctor", description=description).parse_args(list(arguments))
    for name, text in [*cpu(), *device()]:
        print(f"{name:15} {text}")
    return 0


def cpu():
    """Return [(name, text)] about Python, NumPy, BLAS and threads."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    loaded = [f"{info['internal_api']} {info['version']}, {info['num_threads']} threads" for info in threadpool_info()]
    return [
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("NumPy", np.__version__),
        ("BLAS", f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()),
        ("BLAS at work", "; ".join(loaded) or "unknown"),
        ("processors", f"{threads.processors()} for this process, of {os.cpu_count()}"),
        ("MPI", mpi()),
    ]


def mpi():
    """Return what several processes on CPUs would add up with, or what to install."""
    try:
        return f"mpi4py {importlib.metadata.version('mpi4py')}, started by {shutil.which('mpiexec') or 'no mpiexec'}"
    except importlib.metadata.PackageNotFoundError:
        return 'not installed: several processes need pip install "scratchgan[parallel]"'


def nccl(runtime):
    """Return the version of NCCL, with which several GPUs add up, or what to install; runtime: CUDA's version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's own warning says what is said here
        module = importlib.import_module("cupy.cuda.nccl")
    if not module.available:
        return f'not found: several GPUs need pip install "nvidia-nccl-cu{runtime // 1000}"'
    number = module.get_version()
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def device():
    """Return [(name, text)] about CuPy, the driver, CUDA's libraries and each GPU, and what to do."""
    packages, driver = gpu.cupy_packages(), driver_version()
    facts = [
        ("CuPy", ", ".join(packages) or "not installed"),
        ("NVIDIA driver", f"supports CUDA {gpu.version(driver)}" if driver else "none found"),
    ]
    try:
        cupy = gpu.load_cupy()
    except DeviceError as error:
        return [*facts, ("GPU", "none that can be used"), ("to do", advice(error, driver, packages))]
    runtime = cupy.cuda.runtime
    facts[0] = ("CuPy", f"{', '.join(packages) or 'built here'}, {cupy.__version__}")
    facts.append(("CUDA runtime", gpu.version(runtime.runtimeGetVersion())))
    facts.append(("CUDA compiler", "NVRTC " + ".".join(map(str, cupy.cuda.nvrtc.getVersion()))))
    facts.append(("cuBLAS", str(cupy.cuda.cublas.getVersion(cupy.cuda.device.get_cublas_handle()))))
    facts.append(("NCCL", nccl(runtime.runtimeGetVersion())))
    for number in range(runtime.getDeviceCount()):
        with cupy.cuda.Device(number):
            properties, (free, total) = runtime.getDeviceProperties(number), runtime.memGetInfo()
        name, capability = properties["name"].decode(), f"{properties['major']}.{properties['minor']}"
        memory = f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} of them free"
        facts.append((f"GPU {number}", f"{name}, compute capability {capability}, {memory}"))
    return [*facts, ("to do", "nothing: --device gpu works")]


def advice(error, driver, packages):
    """Return what to do about an error of `gpu.load_cupy`; driver: its version, 0 where there is none."""
    if driver == 0 and isinstance(error, gpu.CupyMissing):
        return "for a GPU, install NVIDIA's driver first, then look here again; a CPU needs nothing more"
    fitting = f"cupy-cuda{min(driver // 1000, 13)}x"
    if not isinstance(error, gpu.CupyMissing | gpu.DriverTooOld) or driver < 12000 or fitting in packages:
        return str(error)
    first = f"pip uninstall {' '.join(packages)}, then " if packages else ""  # only one of them can work
    return f'{first}pip install "{fitting}[ctk]" ({error})'


def driver_version():
    """Return the version of CUDA that the NVIDIA driver supports, as 1000 major + 10 minor; 0 without a driver."""
    version = ctypes.c_int(0)
    for library in ("libcuda.so.1", "nvcuda.dll"):
        try:
            ctypes.CDLL(library).cuDriverGetVersion(ctypes.byref(version))
        except (OSError, AttributeError):  # no such file: another system, or no driver
            continue
    return version.value
