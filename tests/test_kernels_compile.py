"""Every kernel compiles for the GPUs of today with NVRTC, CUDA's compiler, which needs neither GPU nor driver.

    pip install nvidia-cuda-nvrtc

What is compiled is what runs: `cuda.source`, with the options that CuPy gives to NVRTC.
"""

import ctypes
import importlib.util
from pathlib import Path

import kernel_cpu
import pytest

from scratchgan import xp
from scratchgan.fast.kernels import cuda

ARCHITECTURES = ("sm_80", "sm_90")  # A100; H100 and H200


def library():
    """Return NVRTC, or None where it is not installed."""
    found = importlib.util.find_spec("nvidia")  # a folder that several packages share
    folders = list(found.submodule_search_locations) if found else []
    paths = [path for folder in folders for path in Path(folder).glob("*/lib/libnvrtc.so.*") if "alt" not in path.name]
    for path in sorted(paths, reverse=True):
        try:
            return ctypes.CDLL(str(path))
        except OSError:  # of another processor, say
            continue
    return None


NVRTC = library()
if NVRTC is None:
    pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc, which needs no GPU", allow_module_level=True)


def compiled(text, architecture):
    """Return (machine code or None, the compiler's messages) of a text."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert NVRTC.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None) == 0
    options = [b"-ftz=true", b"--device-as-default-execution-space", f"-arch={architecture}".encode()]
    options += [b"-Werror", b"all-warnings"]  # these are not CuPy's
    failed = NVRTC.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    assert NVRTC.nvrtcGetProgramLogSize(program, ctypes.byref(size)) == 0
    log = ctypes.create_string_buffer(size.value)
    assert NVRTC.nvrtcGetProgramLog(program, log) == 0
    code = None
    if not failed:
        assert NVRTC.nvrtcGetCUBINSize(program, ctypes.byref(size)) == 0
        code = ctypes.create_string_buffer(size.value)
        assert NVRTC.nvrtcGetCUBIN(program, code) == 0
    NVRTC.nvrtcDestroyProgram(ctypes.byref(program))
    return code and code.raw, log.value.decode()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("character", cuda.TYPES)
@pytest.mark.parametrize("name", kernel_cpu.TEXTS)
def test_a_kernel_compiles(name, character, architecture):
    code, log = compiled(cuda.source(kernel_cpu.TEXTS[name], character), architecture)
    assert code, log
    assert b"\x00" + f".text.{name}".encode() + b"\x00" in code  # the name by which it is looked up, not a mangled one


def test_what_is_wrong_does_not_compile():
    code, log = compiled(cuda.source(kernel_cpu.TEXTS["ema"], "f").replace("weight", "wait", 1), "sm_90")
    assert code is None and "weight" in log


@pytest.mark.parametrize("name", kernel_cpu.TEXTS)
def test_cupy_takes_a_kernel(name):
    """As far as that goes without a GPU: CuPy compiles at the first launch."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed; `pip install cupy-cuda13x` needs no GPU")
    with xp.using(cupy):
        kernel = cuda.compiled.__wrapped__(kernel_cpu.TEXTS[name], "f")
    assert kernel.name == name and kernel.backend == "nvrtc" and kernel.options == ()
