"""Run the CUDA text of `scratchgan/fast/kernels/` on a CPU: compiled as C++ with a few macros.

A block's threads run one after the other, each up to its next `__syncthreads`. That proves a kernel's arithmetic,
indices and arguments. It says nothing about speed, nor about races within a block.
"""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from scratchgan import xp
from scratchgan.fast import kernels
from scratchgan.fast.kernels import convolution, cuda, normalization, optimizers, pointwise
from scratchgan.tools.strict.counts import record

SHIM = """
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <type_traits>
#include <ucontext.h>
#include <utility>
using std::exp; using std::fabs; using std::fmax; using std::log1p; using std::max; using std::min; using std::sqrt;
struct Place { unsigned x, y; };
static Place threadIdx, blockIdx, blockDim, gridDim;
static ucontext_t scheduler, threads[1024];
static int current;
#define __global__
#define __device__ static
#define __shared__ static
#define __syncthreads() swapcontext(&threads[current], &scheduler)
"""

RUN = """
template <class A> char letter() {
    return std::is_pointer<A>() ? (std::is_same<A, double*>() || std::is_same<A, const double*>() ? 'd' : 'T')
         : std::is_same<A, long long>() ? 'l' : std::is_same<A, double>() ? 'f' : '?';
}
template <class... A> void describe(void (*)(A...), char* letters) { ((*letters++ = letter<A>()), ...); *letters = 0; }

template <class... A, size_t... I>
void call(void (*f)(A...), void** arguments, std::index_sequence<I...>) { f(*(A*)arguments[I]...); }
template <class... A> void call(void (*f)(A...), void** arguments) {
    call(f, arguments, std::make_index_sequence<sizeof...(A)>());
}

static void** arguments;
static char stacks[1024][1 << 15];
static bool alive[1024];
static void thread() { call(KERNEL, arguments); alive[current] = false; }

static void place() { threadIdx = {current % blockDim.x, current / blockDim.x}; }

static void run_block() {
    int count = blockDim.x * blockDim.y, left = count;
    if (!BARRIERS) {
        for (current = 0; current < count; current++) place(), call(KERNEL, arguments);
        return;
    }
    for (int t = 0; t < count; t++) {
        getcontext(&threads[t]);
        threads[t].uc_stack.ss_sp = stacks[t];
        threads[t].uc_stack.ss_size = sizeof stacks[t];
        threads[t].uc_link = &scheduler;
        makecontext(&threads[t], thread, 0);
        alive[t] = true;
    }
    while (left > 0)  // each in turn, up to its next __syncthreads
        for (current = 0; current < count; current++)
            if (alive[current]) {
                place();
                swapcontext(&scheduler, &threads[current]);
                left -= !alive[current];
            }
}
extern "C" void letters(char* to) { describe(KERNEL, to); }
extern "C" void run(void** given, unsigned gx, unsigned gy, unsigned bx, unsigned by) {
    arguments = given;
    gridDim = {gx, gy};
    blockDim = {bx, by};
    for (blockIdx.y = 0; blockIdx.y < gy; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < gx; blockIdx.x++) run_block();
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
        return f"g++ cannot compile this here: {error.stderr[-200:]}"
    return None


@functools.cache
def compiled(text, character):
    """Return (run, letters) of a kernel: letters tells the kinds of its arguments, such as "TTfl"."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cpp"
        path.write_text(SHIM + cuda.source(text, character) + RUN)
        defined = [f"-DKERNEL={cuda.name(text)}", f"-DBARRIERS={int('__syncthreads' in text)}"]
        command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", *defined, "-o", f"{folder}/k.so", path]
        subprocess.run(command, check=True, capture_output=True, text=True)
        library = ctypes.CDLL(f"{folder}/k.so")
    letters = ctypes.create_string_buffer(64)
    library.letters(letters)
    return library.run, letters.value.decode()


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
    monkeypatch.setattr(cuda, "compiled", on_cpu)
    monkeypatch.setattr(kernels, "can_take", lambda *arrays: xp.on_gpu() and all(map(cuda.fits, arrays)))
