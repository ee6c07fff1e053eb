"""Take the same steps on the CPU and on another device, from one seed, and print how far the weights come apart.

    python benchmarks/parity.py --device gpu [--tf32]     # 100 steps of three GANs, in float64 and in float32
    python benchmarks/parity.py                       # the stand-in for CuPy in its place

Weights, batches and noise are drawn on the host, so that both start from the same numbers and see the same ones. What
is left is rounding: a GPU adds in another order. Training magnifies it, and the more so the longer it lasts.
"""

import copy

import device
import numpy as np

from scratchgan import xp
from scratchgan.data import Batches
from scratchgan.examples import dcgan, gan, wgan_gp
from scratchgan.fast import threads
from scratchgan.optim import Adam
from scratchgan.tools.strict import strict_xp

MODELS = {
    "MLP": (gan.GAN, gan.Settings()),
    "DCGAN": (dcgan.DCGAN, dcgan.Settings(width=16)),
    "WGAN-GP": (wgan_gp.WGANGP, wgan_gp.Settings(width=16)),
}
BAR = 1e-9  # of the weights in float64


def make(name, dtype):
    """Return a model with networks, optimizers and noise of a dtype."""
    Model, settings = MODELS[name]
    model = Model(settings, (28, 28, 1), np.random.default_rng(0))
    for net, optimizer in (("G", "opt_G"), ("D", "opt_D")):
        setattr(model, net, copy.deepcopy(getattr(model, net)).astype(dtype))
        betas = getattr(model, optimizer).betas
        setattr(model, optimizer, Adam(getattr(model, net).params(), settings.lr, betas=betas))
    model.latent = lambda n, rng: rng.standard_normal((n, settings.latent)).astype(dtype)
    return model


def weights(name, dtype, steps, batch):
    """Return all weights after some steps on the device in use, as one vector of the host."""
    threads.use(blas=xp.on_gpu())
    images = np.random.default_rng(1).uniform(-1, 1, (10 * batch, 28, 28, 1)).astype(dtype)
    batches = Batches(images, batch_size=batch, rng=np.random.default_rng(2))
    model = make(name, dtype)
    for _ in range(steps):
        for _ in range(getattr(model.settings, "critic_steps", 1)):
            model.discriminator_step(xp.to_device(batches.next()))
        model.generator_step(batch)
    return np.concatenate([xp.to_host(model.opt_G.flat.value), xp.to_host(model.opt_D.flat.value)])


def compare(name, dtype, steps, batch, place):
    """Return (largest difference, relative difference) of the weights on a device to those on the CPU."""
    results = []
    for module in (np, place):
        with xp.using(module):
            results.append(weights(name, dtype, steps, batch))
    difference = results[1] - results[0]
    return np.abs(difference).max(), np.linalg.norm(difference) / np.linalg.norm(results[0])


def read(arguments=None):
    """Return the options of a command line."""
    parser = device.parser(__doc__)
    parser.add_argument("--steps", type=int, default=100, help="training steps (default 100)")
    parser.add_argument("--model", choices=list(MODELS), help="one of the GANs (default: all)")
    parser.add_argument("--batch", type=int, default=64, help="pictures in a batch (default 64)")
    return parser.parse_args(arguments)


def main():
    """Print a line for each model and dtype."""
    options = read()
    device.use(options)
    place, name = ("gpu", device.gpu_name()) if xp.on_gpu() else (strict_xp, "CuPy's stand-in")
    print(f"{options.steps} steps, batch {options.batch}: the weights on {name} and on the CPU")
    for name in [options.model] if options.model else MODELS:
        for dtype in ("float64", "float32"):
            largest, relative = compare(name, dtype, options.steps, options.batch, place)
            line = f"  {name:8} {dtype}: largest difference {largest:.1e}, relative {relative:.1e}"
            if dtype == "float64":  # for float32 nothing is asked for: the numbers are stated
                line += f", at most {BAR:g} is asked for: {'met' if largest <= BAR else 'MISSED'}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
