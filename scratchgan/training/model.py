"""Model: what the training loop asks of a GAN."""

import functools

import numpy as np

from scratchgan import data, plots, xp
from scratchgan.training import state as states


class Model:
    """A GAN to be trained: subclass it, build the networks in `__init__`, and write `step` and `generate`.

        class GAN(training.Model):
            def __init__(self, settings, shape, rng):
                super().__init__(settings, shape, rng)
                self.G, self.D = ...                      # networks
                self.opt_G, self.opt_D = ...              # optimizers

    settings: a `Settings`; shape: of one real sample, such as (28, 28, 1) or (2,); rng: where weights and noise
    come from. A checkpoint holds every attribute but settings, shape and device_rng: see `state`.
    """

    device_rng = None  # the generator of --device-noise

    def __init__(self, settings, shape, rng):
        self.settings, self.shape, self.rng = settings, tuple(shape), rng
        self.seed_device()

    # ---- to be written for each GAN ----

    def step(self, batches):
        """Take one training step with real samples from `batches.next()`; return {name: loss}.

        The losses stay on the device, as 0-d arrays: to look at one is to wait for the GPU.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step")

    def generate(self, z):
        """Return G(z), samples on the device, in inference mode; z is what `latent` gave, on the device."""
        raise NotImplementedError(f"{type(self).__name__} has no generate")

    # ---- to be replaced where it does not fit ----

    @staticmethod
    def load_data(settings):
        """Return the real samples, an array or a tuple of arrays: uint8 pictures (N, H, W, C) unless replaced."""
        data_dir = settings.data_dir or None
        return data.load_images(settings.data, data_dir=data_dir, seed=settings.seed).images

    def latent(self, n, rng):
        """Return n latent vectors z, standard normal: float32 (n, settings.latent), where rng draws: on the host."""
        return rng.standard_normal((n, self.settings.latent), dtype=np.float32)

    def picture(self, z):
        """Return one uint8 picture (H, W_, C) of the samples G(z): a near-square grid of images unless replaced."""
        return plots.grid(self.images(z))

    def walk(self, z, steps):
        """Return one uint8 picture of walks of so many steps, one after the other in z: images have a walk a row."""
        return plots.grid(self.images(z), columns=steps) if len(self.shape) == 3 else self.picture(z)

    def report(self):
        """Return {name: number}: what to print and log at every picture of samples and at the end."""
        return {}

    def mixture(self):
        """Return the mixture of Gaussians that points in the plane come from, to count its modes; None if unknown."""
        return None

    def finish(self):
        """Do what is left to do after the last step: nothing unless replaced."""

    # ---- what every model has ----

    def noise(self, n):
        """Return n latent vectors drawn from the model's own generator, on the device; with device_noise, drawn there.

        CuPy copies through pinned memory of its own, and without waiting.
        """
        return xp.to_device(self.latent(n, self.device_rng or self.rng))

    def seed_device(self):
        """Make the generator of --device-noise: CuPy's, whose state cannot be read, and so is in no checkpoint."""
        if self.settings.device_noise and xp.on_gpu():
            self.device_rng = xp.random.default_rng(int(self.rng.integers(2**31)))

    def images(self, z):
        """Return the samples G(z) as images: uint8 (N, H, W, C), on the host; [-1, 1] becomes [0, 255]."""
        parts = [xp.to_host(self.generate(z[i : i + 256])) for i in range(0, len(z), 256)]  # to save memory
        return data.to_bytes(np.concatenate(parts))

    def infer(self, network, images):
        """Return what a network says of uint8 pictures (N, H, W, C), in inference mode, on the host."""
        parts = [xp.to_device(data.to_signed(images[i : i + 256])) for i in range(0, len(images), 256)]
        return np.concatenate([xp.to_host(network(part)) for part in parts])

    def held_out(self):
        """Return labelled pictures on which this model is not trained, `Images`; None for a folder of pictures."""
        return load_held_out(self.settings.data, self.settings.data_dir, self.settings.seed)

    def state(self):
        """Return {"attribute/name": NumPy array}: a copy of all that this model holds.

        Nothing has to be registered, so that no attribute can be forgotten: what has `state` and `load_state` (layers,
        optimizers, EMA), random number generators, arrays on host and device, numbers, text, None, and whatever
        consists of those: lists, tuples, dictionaries, objects. Functions are passed over; settings, shape and
        device_rng are not part of it. Raises TypeError for an attribute that cannot be looked into.
        """
        arrays = {}
        for name, value in self._attributes():
            arrays |= states.pack(name, value)
        return arrays

    def load_state(self, state):
        """Go on where `state()` was taken.

        Raises ValueError, and changes nothing, where a name, a shape or a dtype differs.
        """
        own = self.state()
        problem = states.difference(own, state)
        if problem:
            raise ValueError(problem)
        try:
            self._unpack(state)
        except Exception:  # what a name and a shape do not tell, such as a damaged random state
            self._unpack(own)
            raise
        self.seed_device()

    def _unpack(self, state):
        for name, value in self._attributes():
            setattr(self, name, states.unpack(name, value, state))

    def _attributes(self):
        return [(name, value) for name, value in vars(self).items() if name not in ("settings", "shape", "device_rng")]


@functools.cache
def load_held_out(name, data_dir, seed):
    """Load the test pictures of a data set, once; of glyphs, 2,000; None for a folder, which has none."""
    if name not in data.NAMES:
        return None
    return data.load_images(name, data_dir=data_dir or None, count=2000, seed=seed, split="test")
