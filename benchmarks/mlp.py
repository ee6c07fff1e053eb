"""Time one training iteration of two MLP GANs, beside PyTorch and JAX where they are installed.

    python benchmarks/mlp.py                 # both networks, batch 128, 40 interleaved turns of each program
    python benchmarks/mlp.py --turns 100 --threads 1
    python benchmarks/mlp.py --device gpu [--tf32]      # without JAX, with PyTorch as a CUDA graph

An iteration is a step of D (on a real and a fake batch) and a step of G, Adam on both, non-saturating loss, float32.
All programs run in one process, turn by turn, so that a change of the machine's speed meets each alike; the figures
are medians, in ms, and their ratio to PyTorch eager. Peak memory is that of a process of its own per program; on a GPU,
of its allocator.
"""

import argparse
import functools
import importlib.util
import statistics
import sys
import time

import device
import numpy as np

from scratchgan import losses, xp
from scratchgan.fast import memory, threads
from scratchgan.layers import Dense, LeakyReLU, ReLU, Sequential, Tanh
from scratchgan.optim import Adam

NETWORKS = {"small": ([100, 128, 784], [784, 128, 1]), "large": ([100, 256, 512, 1024, 784], [784, 1024, 512, 256, 1])}
BATCH = 128


def scratchgan_iteration(G_sizes, D_sizes, real, device_noise=False):
    """Return a function that runs one iteration with this library."""
    rng = np.random.default_rng(0)
    real = xp.to_device(real)

    def mlp(sizes, activation, last):
        layers = []
        for n_in, n_out in zip(sizes, sizes[1:], strict=False):
            layers += [Dense(n_in, n_out, rng=rng), activation()]
        return Sequential(*layers[:-1], *last)

    G, D = mlp(G_sizes, ReLU, [Tanh()]), mlp(D_sizes, LeakyReLU, [])
    opt_G, opt_D = Adam(G.params()), Adam(D.params())
    noise_rng = xp.random.default_rng(0) if device_noise else rng

    def noise():
        return xp.to_device(noise_rng.standard_normal((BATCH, G_sizes[0]), dtype=np.float32))

    def iteration():
        fake = G.forward(noise())[0]
        real_logits, real_tape = D.forward(real)
        fake_logits, fake_tape = D.forward(fake)
        _, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        D.accumulate(real_tape, d_real)
        D.accumulate(fake_tape, d_fake)
        opt_D.step()
        fake, G_tape = G.forward(noise())
        logits, D_tape = D.forward(fake)
        _, d_logits = losses.nonsaturating_generator(logits)
        d_fake, _ = D.pull(D_tape, d_logits)
        G.accumulate(G_tape, d_fake)
        opt_G.step()

    return iteration


def torch_iteration(G_sizes, D_sizes, real, *, tuned, graph=False):
    """Return the same iteration in PyTorch: eager as most people write it, or at its best; graph: as a CUDA graph."""
    import torch
    from torch import nn
    from torch.nn.functional import softplus

    torch.manual_seed(0)

    def mlp(sizes, activation, last):
        layers = []
        for n_in, n_out in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(n_in, n_out), activation()]
        return nn.Sequential(*layers[:-1], *last)

    place = device.torch_device()
    G = mlp(G_sizes, nn.ReLU, [nn.Tanh()]).to(place)
    D = mlp(D_sizes, lambda: nn.LeakyReLU(0.2), []).to(place)
    options = {"fused": True} if tuned else {}
    opt_G = torch.optim.Adam(G.parameters(), 2e-4, (0.5, 0.999), capturable=graph, **options)
    opt_D = torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999), capturable=graph, **options)
    real = torch.from_numpy(real).to(place)

    def iteration():
        with torch.no_grad():
            fake = G(torch.randn(BATCH, G_sizes[0], device=place))
        opt_D.zero_grad()
        (softplus(-D(real)).mean() + softplus(D(fake)).mean()).backward()
        opt_D.step()
        opt_G.zero_grad()
        if tuned:
            D.requires_grad_(False)  # spares D's weight gradients, which this step does not use
        softplus(-D(G(torch.randn(BATCH, G_sizes[0], device=place)))).mean().backward()
        if tuned:
            D.requires_grad_(True)
        opt_G.step()

    return device.graphed(iteration) if graph else iteration


def has_torch():
    return importlib.util.find_spec("torch") is not None


def installed():
    """Return the names of the programs that can run here."""
    names = ["scratchgan"] + ["scratchgan, device noise"] * xp.on_gpu()
    if not has_torch():
        print("PyTorch is not installed: no ratio (pip install torch)", file=sys.stderr)
    else:
        names += ["PyTorch eager", "PyTorch at its best"] + ["PyTorch, CUDA graph"] * xp.on_gpu()
    if not xp.on_gpu():
        if importlib.util.find_spec("jax") is None:
            print("JAX is not installed (pip install jax)", file=sys.stderr)
        else:
            names.append("JAX, jit")
    return names


def program(network, name):
    """Return the iteration of a program by its name."""
    G_sizes, D_sizes = NETWORKS[network]
    real = np.random.default_rng(1).uniform(-1, 1, (BATCH, 784)).astype(np.float32)
    if name.startswith("scratchgan"):
        return scratchgan_iteration(G_sizes, D_sizes, real, device_noise="noise" in name)
    if name == "JAX, jit":
        from mlp_jax import jax_iteration

        return jax_iteration(G_sizes, D_sizes, real)
    return torch_iteration(G_sizes, D_sizes, real, tuned=name != "PyTorch eager", graph="graph" in name)


def measure(iterations, turns, repeats):
    """Return the median time of one iteration of each program, in seconds, over interleaved turns."""
    times = {name: [] for name in iterations}
    for turn in range(turns + 2):
        for name, iteration in iterations.items():
            iteration()  # once unmeasured: the caches and threads are this program's again
            device.wait()
            start = time.perf_counter()
            for _ in range(repeats):
                iteration()
            device.wait()
            if turn >= 2:
                times[name].append((time.perf_counter() - start) / repeats)
    return {name: statistics.median(values) for name, values in times.items()}


def print_memory(network, name):
    """Run a program for a few iterations and print the peak memory of this process, in MB."""
    iteration = program(network, name)
    for _ in range(5):
        iteration()
    device.wait()
    print(device.own_peak())


def set_threads(count):
    """Let BLAS and PyTorch use this many threads."""
    threads.use(count)
    try:
        import torch

        torch.set_num_threads(count)
    except ImportError:
        pass


def read(arguments=None):
    """Return the options of a command line."""
    parser = device.parser(__doc__)
    parser.add_argument("--network", choices=[*NETWORKS, "both"], default="both")
    parser.add_argument("--turns", type=int, default=40, help="turns of each program (default 40)")
    parser.add_argument("--threads", type=int, help="threads for BLAS and PyTorch (default: theirs)")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main():
    """Print a table for each network."""
    options = read()
    memory.keep()  # for all programs: they share one process
    device.use(options)
    if options.threads:
        set_threads(options.threads)
    if options.memory_of:
        return print_memory(options.network, options.memory_of)
    for network in NETWORKS if options.network == "both" else [options.network]:
        G_sizes, D_sizes = NETWORKS[network]
        print(f"\n{network}: G {'-'.join(map(str, G_sizes))}, D {'-'.join(map(str, D_sizes))}, batch {BATCH}")
        programs, peaks = {}, {}
        for name in installed():
            command = [sys.executable, __file__, "--memory-of", name, "--network", network]
            command += ["--threads", str(options.threads)] if options.threads else []
            programs[name], peaks[name] = device.started(functools.partial(program, network, name), command)
        medians = measure(programs, options.turns, repeats=10 if network == "small" or xp.on_gpu() else 3)
        base = medians.get("PyTorch eager")
        for name, seconds in medians.items():
            ratio = f"{seconds / base:6.2f}x" if base else ""
            print(f"  {name:24} {seconds * 1e3:8.2f} ms {ratio}  peak memory {peaks[name]} MB", flush=True)


if __name__ == "__main__":
    main()
