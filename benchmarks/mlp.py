"""Time one training iteration of two MLP GANs, beside PyTorch and JAX where they are installed.

    python benchmarks/mlp.py                 # both networks, batch 128, 40 interleaved turns of each program
    python benchmarks/mlp.py --turns 100 --threads 1

An iteration is a step of D (on a real and a fake batch) and a step of G, Adam on both, non-saturating loss, float32.
All programs run in one process, turn by turn, so that a change of the machine's speed meets each alike; the figures
are medians, in ms, and their ratio to PyTorch eager. Peak memory is measured in a process of its own per program.
"""

import argparse
import statistics
import subprocess
import sys
import time

import numpy as np

from scratchgan import losses, memory, threads
from scratchgan.layers import Dense, LeakyReLU, ReLU, Sequential, Tanh
from scratchgan.optim import Adam

NETWORKS = {"small": ([100, 128, 784], [784, 128, 1]), "large": ([100, 256, 512, 1024, 784], [784, 1024, 512, 256, 1])}
BATCH = 128


def scratchgan_iteration(G_sizes, D_sizes, real):
    """Return a function that runs one iteration with this library."""
    rng = np.random.default_rng(0)

    def mlp(sizes, activation, last):
        layers = []
        for n_in, n_out in zip(sizes, sizes[1:], strict=False):
            layers += [Dense(n_in, n_out, rng=rng), activation()]
        return Sequential(*layers[:-1], *last)

    G, D = mlp(G_sizes, ReLU, [Tanh()]), mlp(D_sizes, LeakyReLU, [])
    opt_G, opt_D = Adam(G.params()), Adam(D.params())

    def noise():
        return rng.standard_normal((BATCH, G_sizes[0]), dtype=np.float32)

    def iteration():
        fake = G.forward(noise())[0]
        real_logits, real_tape = D.forward(real)
        fake_logits, fake_tape = D.forward(fake)
        _, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        D.backward(real_tape, d_real)
        D.backward(fake_tape, d_fake)
        opt_D.step()
        fake, G_tape = G.forward(noise())
        logits, D_tape = D.forward(fake)
        _, d_logits = losses.nonsaturating_generator(logits)
        G.backward(G_tape, D.backward(D_tape, d_logits, grads=False))
        opt_G.step()

    return iteration


def torch_iteration(G_sizes, D_sizes, real, *, tuned):
    """Return the same iteration in PyTorch: eager as most people write it, or at its best."""
    import torch
    from torch import nn
    from torch.nn.functional import softplus

    torch.manual_seed(0)

    def mlp(sizes, activation, last):
        layers = []
        for n_in, n_out in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(n_in, n_out), activation()]
        return nn.Sequential(*layers[:-1], *last)

    G, D = mlp(G_sizes, nn.ReLU, [nn.Tanh()]), mlp(D_sizes, lambda: nn.LeakyReLU(0.2), [])
    opt_G = torch.optim.Adam(G.parameters(), 2e-4, (0.5, 0.999), fused=tuned)
    opt_D = torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999), fused=tuned)
    real = torch.from_numpy(real)

    def iteration():
        with torch.no_grad():
            fake = G(torch.randn(BATCH, G_sizes[0]))
        opt_D.zero_grad()
        (softplus(-D(real)).mean() + softplus(D(fake)).mean()).backward()
        opt_D.step()
        opt_G.zero_grad()
        if tuned:
            D.requires_grad_(False)  # spares D's weight gradients, which this step does not use
        softplus(-D(G(torch.randn(BATCH, G_sizes[0])))).mean().backward()
        if tuned:
            D.requires_grad_(True)
        opt_G.step()

    return iteration


def programs(network):
    """Return {name: iteration} of every program that is installed, PyTorch eager second."""
    G_sizes, D_sizes = NETWORKS[network]
    real = np.random.default_rng(1).uniform(-1, 1, (BATCH, 784)).astype(np.float32)
    found = {"scratchgan": scratchgan_iteration(G_sizes, D_sizes, real)}
    try:
        found["PyTorch eager"] = torch_iteration(G_sizes, D_sizes, real, tuned=False)
        found["PyTorch at its best"] = torch_iteration(G_sizes, D_sizes, real, tuned=True)
    except ImportError:
        print("PyTorch is not installed: no ratio (pip install torch)", file=sys.stderr)
    try:
        from mlp_jax import jax_iteration

        found["JAX, jit"] = jax_iteration(G_sizes, D_sizes, real)
    except ImportError:
        print("JAX is not installed (pip install jax)", file=sys.stderr)
    return found


def measure(iterations, turns, repeats):
    """Return the median time of one iteration of each program, in seconds, over interleaved turns."""
    times = {name: [] for name in iterations}
    for turn in range(turns + 2):
        for name, iteration in iterations.items():
            iteration()  # once unmeasured: the caches and threads are this program's again
            start = time.perf_counter()
            for _ in range(repeats):
                iteration()
            if turn >= 2:
                times[name].append((time.perf_counter() - start) / repeats)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_memory(network, name):
    """Return the peak memory of a process that runs only this program, in MB."""
    command = [sys.executable, __file__, "--memory-of", name, "--network", network]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def print_memory(network, name):
    """Run a program for a few iterations and print the peak memory of this process, in MB."""
    G_sizes, D_sizes = NETWORKS[network]
    real = np.random.default_rng(1).uniform(-1, 1, (BATCH, 784)).astype(np.float32)
    if name == "scratchgan":
        iteration = scratchgan_iteration(G_sizes, D_sizes, real)
    elif name == "JAX, jit":
        from mlp_jax import jax_iteration

        iteration = jax_iteration(G_sizes, D_sizes, real)
    else:
        iteration = torch_iteration(G_sizes, D_sizes, real, tuned=name == "PyTorch at its best")
    for _ in range(5):
        iteration()
    print(own_peak())


def own_peak():
    """Return the peak memory of this process in MB (on Linux: getrusage would count the parent's at the fork)."""
    with open("/proc/self/status") as status:
        return int(status.read().split("VmHWM:")[1].split()[0]) // 1024


def set_threads(count):
    """Let BLAS and PyTorch use this many threads."""
    threads.use(count)
    try:
        import torch

        torch.set_num_threads(count)
    except ImportError:
        pass


def main():
    """Print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=[*NETWORKS, "both"], default="both")
    parser.add_argument("--turns", type=int, default=40, help="turns of each program (default 40)")
    parser.add_argument("--threads", type=int, help="threads for BLAS and PyTorch (default: theirs)")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    memory.keep()  # for all programs: they share one process
    if options.memory_of:
        return print_memory(options.network, options.memory_of)
    if options.threads:
        set_threads(options.threads)
    for network in NETWORKS if options.network == "both" else [options.network]:
        G_sizes, D_sizes = NETWORKS[network]
        print(f"\n{network}: G {'-'.join(map(str, G_sizes))}, D {'-'.join(map(str, D_sizes))}, batch {BATCH}")
        medians = measure(programs(network), options.turns, repeats=10 if network == "small" else 3)
        base = medians.get("PyTorch eager")
        for name, seconds in medians.items():
            ratio = f"{seconds / base:6.2f}x" if base else ""
            print(f"  {name:20} {seconds * 1e3:8.2f} ms {ratio}  peak memory {peak_memory(network, name)} MB")


if __name__ == "__main__":
    main()
