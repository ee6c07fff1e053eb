"""What the benchmarks share about devices: options, when to look at the clock, memory, and PyTorch's CUDA graphs."""

import argparse
import os
import subprocess
import sys

from scratchgan import xp
from scratchgan.support.errors import DeviceError


def parser(description):
    """Return an argparse parser with the options of every benchmark that runs on a GPU, too."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="where all programs compute")
    options.add_argument("--tf32", action="store_true", help="on a GPU, TF32 in all products and convolutions")
    return options


def use(options):
    """Set the device, and TF32 on or off, for all programs; exit with a line where there is no such device."""
    os.environ["CUPY_TF32"] = str(int(options.tf32))  # read at CuPy's first product
    try:
        said = xp.use(options.device)
    except DeviceError as error:
        sys.exit(f"error: {error}")
    if not xp.on_gpu():
        return
    print(f"{said}, {gpu_name()}, TF32 {'on' if options.tf32 else 'off'}", flush=True)
    try:
        import torch
    except ImportError:
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.tf32
    torch.backends.cudnn.benchmark = True


def gpu_name():
    """Return the name of the GPU in use."""
    return xp.cuda.runtime.getDeviceProperties(xp.cuda.runtime.getDevice())["name"].decode()


def wait():
    """Let the GPU finish what all programs have asked for: only then the clock tells something."""
    if xp.on_gpu():
        xp.cuda.runtime.deviceSynchronize()


def started(make, command):
    """Return (iteration, peak memory in MB) of a program, which make() returns once it has run three times.

    On the GPU, memory is what the program's allocator has taken by then; on the CPU it is that of a process of its
    own, which the command runs, and which prints it.
    """
    if not xp.on_gpu():
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        return make(), int(output.split()[-1])
    pool, torch = xp.get_default_memory_pool(), sys.modules.get("torch")
    pool.free_all_blocks()
    if torch:
        torch.cuda.empty_cache()

    def held():
        return pool.total_bytes() + (torch.cuda.memory_reserved() if torch else 0)

    before = held()
    iteration = make()
    for _ in range(3):
        iteration()
    wait()
    return iteration, (held() - before) // 2**20


def own_peak():
    """Return the peak memory of this process in MB (Linux)."""
    with open("/proc/self/status") as status:  # getrusage would count the parent's at the fork
        return int(status.read().split("VmHWM:")[1].split()[0]) // 1024


def torch_device():
    """Return where PyTorch's tensors belong."""
    return "cuda" if xp.on_gpu() else "cpu"


def graphed(iteration):
    """Return an iteration of PyTorch recorded as one CUDA graph, which the host then starts with a single call."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # what is made at first use must be there before the recording
        for _ in range(3):
            iteration()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        iteration()
    return graph.replay
