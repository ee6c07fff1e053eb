"""Time from the start of a process to the end of its first training step: imports, compilers, and the step itself.

    python benchmarks/first_step.py --device gpu     # DCGAN 28, batch 64; a GPU's kernels compiled anew, then cached
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import device
from mlp import installed

from scratchgan import xp


def seconds(name, options, cache=None):
    """Return how long a process takes that takes one step of a program; cache: a folder for CuPy's kernels."""
    command = [sys.executable, str(Path(__file__).with_name("dcgan.py")), "--memory-of", name, "--iterations", "1"]
    command += ["--case", "28", "--device", options.device, *["--tf32"] * options.tf32]
    environment = os.environ | ({"CUPY_CACHE_DIR": cache} if cache else {})
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def read(arguments=None):
    """Return the options of a command line."""
    return device.parser(__doc__).parse_args(arguments)


def main():
    """Print a line for each program."""
    options = read()
    device.use(options)
    print("from the start of the process to the end of the first step, DCGAN 28, batch 64")
    with tempfile.TemporaryDirectory() as folder:
        runs = [("scratchgan", "scratchgan", None)]
        if xp.on_gpu():
            runs = [("scratchgan", f"scratchgan, {kernels}", folder) for kernels in ("none compiled yet", "cached")]
        runs += [(name, name, None) for name in installed() if name == "PyTorch eager"]
        for name, title, cache in runs:
            print(f"  {title:36} {seconds(name, options, cache):6.1f} s", flush=True)


if __name__ == "__main__":
    main()
