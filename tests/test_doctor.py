"""`python -m scratchgan doctor` on machines with and without a GPU, and the error of two CuPy packages."""

import contextlib
import importlib.metadata
import sys
import types

import numpy as np
import pytest

from scratchgan import xp
from scratchgan.support import gpu
from scratchgan.tools import doctor


def machine(driver=13020, runtime=13000):
    """Return a module in CuPy's place, on a machine with one GPU."""
    properties = {"name": b"NVIDIA H100", "major": 9, "minor": 0}
    functions = {
        "driverGetVersion": lambda: driver, "runtimeGetVersion": lambda: runtime, "getDeviceCount": lambda: 1,
        "getDeviceProperties": lambda number: properties, "memGetInfo": lambda: (60 * 2**30, 80 * 2**30),
    }  # fmt: skip
    cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(**functions),
        nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 0)),
        cublas=types.SimpleNamespace(getVersion=lambda handle: 130100),
        device=types.SimpleNamespace(get_cublas_handle=lambda: 0),
        Device=lambda number: contextlib.nullcontext(),
    )
    return types.SimpleNamespace(ones=np.ones, float32=np.float32, cuda=cuda, __version__="14.2.0")


def report(capsys, monkeypatch, cupy, packages, driver):
    """Return what the doctor says, {name: text}."""
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    nccl = types.SimpleNamespace(available=packages != ["without nccl"], get_version=lambda: 23203)
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", nccl)
    monkeypatch.setattr(gpu, "cupy_packages", lambda: packages)
    monkeypatch.setattr(doctor, "driver_version", lambda: driver)
    assert doctor.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line[:15].strip(): line[16:] for line in lines}


def test_a_machine_with_a_gpu(capsys, monkeypatch):
    said = report(capsys, monkeypatch, machine(), ["cupy-cuda13x"], 13020)
    assert said["NumPy"] == np.__version__ and said["BLAS"] and "threads" in said["BLAS at work"]
    assert said["CuPy"] == "cupy-cuda13x, 14.2.0" and said["NVIDIA driver"] == "supports CUDA 13.2"
    assert said["CUDA runtime"] == "13.0" and said["CUDA compiler"] == "NVRTC 13.0" and said["cuBLAS"] == "130100"
    assert said["GPU 0"] == "NVIDIA H100, compute capability 9.0, 80.0 GiB, 60.0 of them free"
    assert said["to do"] == "nothing: --device gpu works" and said["NCCL"] == "2.32.3"


def test_what_several_processes_need(capsys, monkeypatch):
    said = report(capsys, monkeypatch, machine(), ["without nccl"], 13020)
    assert 'pip install "nvidia-nccl-cu13"' in said["NCCL"]
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert 'pip install "scratchgan[parallel]"' in report(capsys, monkeypatch, machine(), [], 13020)["MPI"]
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "4.1.2")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/bin/mpiexec")
    assert report(capsys, monkeypatch, machine(), [], 13020)["MPI"] == "mpi4py 4.1.2, started by /bin/mpiexec"


def missing(name):
    raise importlib.metadata.PackageNotFoundError(name)


ADVICE = {
    "no driver, no CuPy": (None, [], 0, "install NVIDIA's driver first"),
    "a driver of CUDA 12": (None, [], 12080, 'pip install "cupy-cuda12x[ctk]"'),
    "a driver of CUDA 13": (None, [], 13000, 'pip install "cupy-cuda13x[ctk]"'),
    "a driver of the future": (None, [], 14010, 'pip install "cupy-cuda13x[ctk]"'),
    "CuPy newer than the driver": (machine(12080, 13000), ["cupy-cuda13x"], 12080, 'pip install "cupy-cuda12x[ctk]"'),
    "CuPy without a driver": (machine(0), ["cupy-cuda13x"], 0, "no NVIDIA driver was found"),
    "two packages": (machine(), ["cupy-cuda12x", "cupy-cuda13x"], 13000, "pip uninstall cupy-cuda12x cupy-cuda13x"),
}


@pytest.mark.parametrize("case", ADVICE)
def test_what_to_do(capsys, monkeypatch, case):
    *machine, advice = ADVICE[case]
    said = report(capsys, monkeypatch, *machine)
    assert advice in said["to do"] and said["GPU"] == "none that can be used"


def failing(error, *versions):
    """Return a module in CuPy's place that computes nothing."""
    cupy = machine(*versions)

    def ones(*arguments, **keywords):
        raise error

    cupy.ones = ones
    return cupy


def test_a_driver_that_is_a_little_too_old(capsys, monkeypatch):
    """The package is the right one: installing it again would change nothing."""
    cupy = failing(RuntimeError("no kernel image"), 12020, 12090)
    to_do = report(capsys, monkeypatch, cupy, ["cupy-cuda12x"], 12020)["to do"]
    assert "update the driver" in to_do and "pip install" not in to_do


def test_a_package_that_does_not_fit_goes_first(capsys, monkeypatch):
    to_do = report(capsys, monkeypatch, machine(12080, 13000), ["cupy-cuda13x"], 12080)["to do"]
    assert to_do.startswith('pip uninstall cupy-cuda13x, then pip install "cupy-cuda12x[ctk]"')


def test_a_gpu_whose_memory_is_full(capsys, monkeypatch):
    error = type("OutOfMemoryError", (MemoryError,), {})("2 GiB wanted")
    to_do = report(capsys, monkeypatch, failing(error), ["cupy-cuda13x"], 13020)["to do"]
    assert "no memory left" in to_do and "pip" not in to_do


def test_two_cupy_packages_are_an_error(monkeypatch):
    names = ["numpy", "cupy-cuda13x", "cupy-cuda12x", "cupy-xarray", None]
    installed = [types.SimpleNamespace(metadata={"Name": name}) for name in names]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: installed)
    monkeypatch.setitem(sys.modules, "cupy", machine())
    with pytest.raises(gpu.SeveralCupys, match="2 CuPy packages .*: pip uninstall cupy-cuda12x cupy-cuda13x, then pip"):
        xp.use("gpu")
    assert not xp.on_gpu()


def test_it_takes_no_options(capsys):
    with pytest.raises(SystemExit) as stopped:
        doctor.main(["--nonsense"])
    assert stopped.value.code == 2 and "--nonsense" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        doctor.main(["--help"])
    assert stopped.value.code == 0
