"""Run the CUDA text of `scratchgan/kernels/` on a CPU: the very text, compiled by a C++ compiler with a few macros.

A block's threads run one after the other, or, where the text has `__syncthreads`, as threads that meet at a barrier.
That proves a kernel's arithmetic, indices and arguments. It says nothing about speed, nor about races within a block.
"""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from scratchgan import kernels, xp
from scratchgan.kernels import convolution, cuda, normalization, optimizers, pointwise
from scratchgan.testing.counts import record

SHIM = """
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <omp.h>
#include <tuple>
#include <type_traits>
#include <utility>
using std::fmax; using std::max; using std::min; using std::sqrt;
struct Place { unsigned x, y; };
static thread_local Place threadIdx;
static Place blockIdx, blockDim, gridDim;
#define __global__
#define __device__ static
#define __shared__ static
#define __syncthreads() _Pragma("omp barrier")
"""

RUN = """
template <class A> char letter() {
    return std::is_pointer<A>() ? (std::is_same<A, double*>() || std::is_same<A, const double*>() ? 'd' : 'T')
         : std::is_same<A, long long>() ? 'l' : std::is_same<A, double>() ? 'f' : '?';
}
template <class... A> void describe(void (*)(A...), char* letters) { ((*letters++ = letter<A>()), ...); *letters = 0; }

template <class... A, size_t... I>
void call(void (*f)(A...), void** arguments, std::index_sequence<I...>) { f(*(A*)arguments[I]...); }

template <class... A> void run_all(void (*f)(A...), void** arguments) {
    int threads = blockDim.x * blockDim.y;
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) {
            #pragma omp parallel for schedule(static, 1) num_threads(TOGETHER ? threads : 1)
            for (int t = 0; t < threads; t++) {
                threadIdx = {t % blockDim.x, t / blockDim.x};
                call(f, arguments, std::make_index_sequence<sizeof...(A)>());
            }
        }
}
extern "C" void letters(char* to) { describe(KERNEL, to); }
extern "C" void run(void** arguments, unsigned gx, unsigned gy, unsigned bx, unsigned by) {
    gridDim = {gx, gy}; blockDim = {bx, by};
    run_all(KERNEL, arguments);
}
"""

MODULES = (optimizers, pointwise, normalization, convolution)
TEXTS = {  # of every kernel, by its name
    cuda.name(text): text for module in MODULES for text in vars(module).values()
    if isinstance(text, str) and "__global__" in text
}  # fmt: skip


def missing():
    """Return why the text cannot be compiled here, or None if it can."""
    if shutil.which("g++") is None:
        return "g++ is not installed: the kernels' arithmetic is not proven here"
    try:
        compiled(TEXTS["ema"], "f")
    except subprocess.CalledProcessError as error:
        return f"g++ cannot compile with OpenMP here: {error.stderr[-200:]}"
    return None


@functools.cache
def compiled(text, character):
    """Return (run, letters) of a kernel: letters tells the kinds of its arguments, such as "TTfl"."""
    options = ["-DKERNEL=" + cuda.name(text), "-DTOGETHER=" + str(int("__syncthreads" in text))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cpp"
        path.write_text(SHIM + cuda.source(text, character) + RUN)
        command = ["g++", "-std=c++17", "-O1", "-fopenmp", "-shared", "-fPIC", *options, "-o", f"{folder}/k.so", path]
        subprocess.run(command, check=True, capture_output=True, text=True)
        library = ctypes.CDLL(f"{folder}/k.so")
    found = ctypes.create_string_buffer(64)
    library.letters(found)
    return library.run, found.value.decode()


def on_cpu(text, character):
    """Return what takes the place of CuPy's RawKernel: it checks the arguments' kinds, and runs on the CPU."""

    def kernel(grid, block, arguments):
        run, letters = compiled(text, character)
        name, arrays = cuda.name(text), [getattr(argument, "_host", argument) for argument in arguments]
        assert len(arrays) == len(letters), f"{name} takes {len(letters)} arguments, {len(arrays)} were given"
        values = [value(name, letter, array, character) for letter, array in zip(letters, arrays, strict=True)]
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.cast(ctypes.byref(v), ctypes.c_void_p) for v in values])
        (gx, gy, *_), (bx, by, *_) = (*grid, 1), (*block, 1)
        assert 0 < gx < 2**31 and 0 < gy < 2**16 and bx * by <= 1024  # what CUDA allows
        run(pointers, gx, gy, bx, by)
        record("operations", name)

    return kernel


def value(name, letter, argument, character):
    """Return an argument as C takes it, once it is known to be what CuPy would pass for this kind of parameter."""
    if letter in "Td":
        assert isinstance(argument, np.ndarray) and argument.flags.c_contiguous, f"{name}: {argument!r} for an array"
        assert argument.dtype.char == (character if letter == "T" else "d"), f"{name}: an array of {argument.dtype}"
        return ctypes.c_void_p(argument.ctypes.data)
    kind, c_type = {"l": (int, ctypes.c_longlong), "f": (float, ctypes.c_double)}[letter]
    assert type(argument) is kind, f"{name}: {argument!r}, wanted a Python {kind.__name__}"
    return c_type(argument)


def install(monkeypatch):
    """Until the test ends, the library takes its kernels on the stand-in, and they run on the CPU."""
    plane = cuda.plane

    def few(rows, columns):  # a block with barriers takes a CPU some ms
        (across, down), block = plane(rows, columns)
        return (across, min(down, 3)), block

    monkeypatch.setattr(normalization, "plane", few)
    monkeypatch.setattr(cuda, "compiled", on_cpu)
    monkeypatch.setattr(kernels, "can_take", lambda *arrays: xp.on_gpu() and all(map(cuda.fits, arrays)))
