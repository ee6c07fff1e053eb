"""Choosing the array module, and the four things that can be wrong with a GPU: none of it needs one."""

import sys
import types

import numpy
import pytest

from scratchgan import xp
from scratchgan.support import gpu
from scratchgan.support.errors import UserError


def fake_cupy(driver=13000, runtime=13000, devices=1, broken=None):
    """Return a module that answers as CuPy would on some machine; its arrays are NumPy's."""

    def count():
        if devices is None:
            raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return devices

    def ones(shape, dtype):
        if broken:
            raise ImportError(broken)
        return numpy.ones(shape, dtype)

    runtime_api = types.SimpleNamespace(
        driverGetVersion=lambda: driver, runtimeGetVersion=lambda: runtime, getDeviceCount=count
    )
    module = types.ModuleType("cupy")
    module.cuda = types.SimpleNamespace(runtime=runtime_api)
    module.ones, module.float32, module.__version__ = ones, numpy.float32, "14.2"
    module.asarray = numpy.asarray
    return module


BROKEN = {
    "not installed": (None, gpu.CupyMissing, r"pip install \"cupy-cuda13x\[ctk\]\""),
    "no driver": (fake_cupy(driver=0), gpu.DriverMissing, "no NVIDIA driver"),
    "no device": (fake_cupy(devices=None), gpu.DriverMissing, "CUDA_VISIBLE_DEVICES"),
    "zero devices": (fake_cupy(devices=0), gpu.DriverMissing, "CUDA_VISIBLE_DEVICES"),
    "old driver": (fake_cupy(driver=12040), gpu.DriverTooOld, "CUDA 12.4, CuPy was built for CUDA 13.0"),
    "old driver of the same major version": (
        fake_cupy(driver=13000, runtime=13020, broken="cubin"), gpu.DriverTooOld, "CUDA 13.0.*CUDA 13.2",
    ),
    "no cuBLAS": (fake_cupy(broken="libcublas.so.13"), gpu.CudaLibrariesMissing, r"cupy-cuda13x\[ctk\].*libcublas"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def on_the_cpu_afterwards():
    yield
    xp.use("cpu")


@pytest.mark.parametrize("case", BROKEN)
def test_gpu_never_falls_back_and_says_what_is_missing(case, monkeypatch):
    module, error, message = BROKEN[case]
    monkeypatch.setitem(sys.modules, "cupy", module)  # None makes the import fail, as if it were not there
    with pytest.raises(error, match=message) as caught:
        xp.use("gpu")
    assert isinstance(caught.value, UserError)
    assert not xp.on_gpu()
    said = xp.use("auto")
    assert said.startswith(f"NumPy {numpy.__version__} on the CPU (no GPU: ") and str(caught.value) in said


def test_the_errors_are_distinct():
    errors = [gpu.CupyMissing, gpu.DriverMissing, gpu.DriverTooOld, gpu.CudaLibrariesMissing]
    assert all(not issubclass(one, other) for one in errors for other in errors if one is not other)


def test_a_gpu_that_works(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy := fake_cupy())
    assert xp.use("auto") == "CuPy 14.2 on the GPU"
    assert xp.on_gpu() and xp.ones is cupy.ones


def test_an_import_that_fails_inside_cupy(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text("import a_package_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with pytest.raises(gpu.CupyMissing, match="installed but cannot be imported: .*a_package_that_is_not_there"):
        xp.use("gpu")


def test_using_goes_back(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    with xp.using("gpu") as said:
        assert said == "CuPy 14.2 on the GPU" and xp.on_gpu()
    assert not xp.on_gpu()
    with pytest.raises(ZeroDivisionError), xp.using("gpu"):
        raise ZeroDivisionError
    assert not xp.on_gpu()


def test_an_array_module_stands_for_the_gpu():
    module = types.SimpleNamespace(__name__="stand_in", __version__="1.0", ones=lambda shape: f"ones of {shape}")
    with xp.using(module) as said:
        assert said == "stand_in 1.0" and xp.on_gpu() and xp.ones(3) == "ones of 3"
    assert not xp.on_gpu()
    assert xp.use(numpy) == f"numpy {numpy.__version__}" and not xp.on_gpu()


def test_unknown_device():
    with pytest.raises(UserError, match="'tpu' is unknown: choose auto, cpu or gpu"):
        xp.use("tpu")


def test_host_and_device():
    x = numpy.arange(3.0)
    assert xp.to_device(x) is x and xp.to_host(x) is x
    assert xp.to_device(x, "float32").dtype == numpy.float32

    class OnDevice:
        def get(self):
            return x

    assert xp.to_host(OnDevice()) is x


def test_unknown_name():
    with pytest.raises(AttributeError):
        xp.no_such_function  # noqa: B018
