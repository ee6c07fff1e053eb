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
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def main():
    """Print a line for each program."""
    options = device.parser(__doc__).parse_args()
    device.use(options)
    print("from the start of the process to the end of the first step, DCGAN 28, batch 64")
    if xp.on_gpu():
        with tempfile.TemporaryDirectory() as folder:
            print(f"  {'scratchgan, no kernel yet compiled':36} {seconds('scratchgan', options, folder):6.1f} s", flush=True)
            print(f"  {'scratchgan, kernels cached':36} {seconds('scratchgan', options, folder):6.1f} s", flush=True)
    for name in ["scratchgan"] * (not xp.on_gpu()) + [name for name in installed() if name == "PyTorch eager"]:
        print(f"  {name:36} {seconds(name, options):6.1f} s", flush=True)


if __name__ == "__main__":
    main()
