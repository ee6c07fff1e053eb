"""Time a critic's step of WGAN-GP, and a whole training step, beside PyTorch's `create_graph=True`.

    python benchmarks/wgan_gp.py                # medians of interleaved turns
    python benchmarks/wgan_gp.py --turns 30 --threads 1
    python benchmarks/wgan_gp.py --device gpu [--tf32]      # with PyTorch as a CUDA graph, too

The game of examples/wgan_gp.py with wider networks, and no hidden layers: pictures of 28 x 28, 64 and 128 channels, no
batch norm in the critic, batch 64, float32. A critic's step draws fakes and takes the gradient of the scores and of the
penalty, and a step of Adam; a training step is five of these and a step of G.
"""

import device
import numpy as np
from mlp import installed, measure, set_threads

from scratchgan import xp
from scratchgan.data import to_bytes
from scratchgan.examples import wgan_gp
from scratchgan.fast import memory, threads
from scratchgan.layers import Conv2d, Dense, Flatten, LeakyReLU, Sequential

BATCH = 64
IMAGES = to_bytes(np.random.default_rng(1).uniform(-1, 1, (BATCH, 28, 28, 1)))


class RealBatch:
    """Batches that are one and the same: the time to draw them is not measured."""

    def __init__(self):
        self.images = xp.to_device(IMAGES)

    def next(self):
        return self.images


class Wide(wgan_gp.WGANGP):
    """The game of the example; D halves the side twice, and nothing else, as G doubles it."""

    def networks(self, shape, rng):
        by_two = {"kernel": 4, "stride": 2, "padding": 1, "rng": rng}
        D = Sequential(
            Conv2d(1, 64, **by_two), LeakyReLU(0.2), Conv2d(64, 128, **by_two), LeakyReLU(0.2),
            Flatten(), Dense(7 * 7 * 128, 1, rng=rng),
        )  # fmt: skip
        return wgan_gp.generator(self.settings, shape, rng), D


def make(n, **options):
    """Return a model whose training step is five steps of the critic, and one of G, with n pictures."""
    settings = wgan_gp.Settings(batch_size=n, width=64, critic_steps=5, average=0.0, **options)
    return Wide(settings, (28, 28, 1), np.random.default_rng(0))


def ours(device_noise):
    """Return (critic's step, training step) of this library."""
    model = make(BATCH, device_noise=device_noise)
    real = xp.to_device((IMAGES / 127.5 - 1).astype(np.float32))
    batches = RealBatch()
    return lambda: model.discriminator_step(real), lambda: model.step(batches)


def torch_networks():
    """Return the same G and D in PyTorch."""
    from torch import nn

    G = nn.Sequential(
        nn.Linear(100, 7 * 7 * 128), nn.Unflatten(1, (128, 7, 7)), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    D = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(7 * 7 * 128, 1),
    )  # fmt: skip
    return G, D


def pytorch(tuned, graph):
    """Return (critic's step, training step) in PyTorch: eager as most people write it, at its best, or as a graph."""
    import torch

    torch.manual_seed(0)
    place = {"device": device.torch_device()}
    layout = place | ({"memory_format": torch.channels_last} if tuned else {})
    G, D = (net.to(**layout) for net in torch_networks())
    options = {"capturable": graph} | ({"fused": True} if tuned else {})
    opt_G = torch.optim.Adam(G.parameters(), 1e-4, (0.5, 0.9), **options)
    opt_D = torch.optim.Adam(D.parameters(), 1e-4, (0.5, 0.9), **options)
    real = (torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float() / 127.5 - 1).to(**layout)

    def critic_step():
        with torch.no_grad():
            fake = G(torch.randn(BATCH, 100, **place))
        opt_D.zero_grad()
        t = torch.rand(BATCH, 1, 1, 1, **place)
        x = (fake + t * (real - fake)).requires_grad_()
        (g,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
        penalty = 10 * (g.flatten(1).norm(dim=1) - 1).square().mean()
        (D(fake).mean() - D(real).mean() + penalty).backward()
        opt_D.step()

    def step():
        for _ in range(5):
            critic_step()
        opt_G.zero_grad()
        D.requires_grad_(not tuned)
        (-D(G(torch.randn(BATCH, 100, **place))).mean()).backward()
        D.requires_grad_(True)
        opt_G.step()

    return (device.graphed(critic_step), device.graphed(step)) if graph else (critic_step, step)


def read(arguments=None):
    """Return the options of a command line."""
    parser = device.parser(__doc__)
    parser.add_argument("--turns", type=int, default=15, help="turns of each program (default 15)")
    parser.add_argument("--threads", type=int, help="threads for all programs (default: the processors)")
    return parser.parse_args(arguments)


def main():
    """Print a line for each program."""
    options = read()
    if options.threads:
        set_threads(options.threads)
    memory.keep()  # for all programs: they share one process
    device.use(options)
    threads.use(options.threads or 0, blas=xp.on_gpu())
    programs = {}
    for name in installed():
        if name.startswith("scratchgan"):
            programs[name] = ours("noise" in name)
        elif name != "JAX, jit":
            programs[name] = pytorch(name != "PyTorch eager", "graph" in name)
    for index, title in enumerate(("a critic's step", "5 critic steps and a step of G")):
        print(f"\n{title}, batch {BATCH}", flush=True)
        turns = {name: steps[index] for name, steps in programs.items()}
        medians = measure(turns, options.turns, repeats=5 if xp.on_gpu() else 1)
        base = medians.get("PyTorch eager")
        for name, seconds in medians.items():
            print(f"  {name:24} {seconds * 1e3:8.1f} ms" + (f" {seconds / base:6.2f}x" if base else ""), flush=True)


if __name__ == "__main__":
    main()
