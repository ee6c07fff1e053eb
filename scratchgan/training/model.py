"""Model: what the training loop asks of a GAN."""

import functools
import math

import numpy as np

from scratchgan import data, plots, walk, xp
from scratchgan.support.errors import UserError
from scratchgan.training import changes, drawing
from scratchgan.training import state as states
from scratchgan.training.progress import say

APART = ("settings", "shape", "device_rng", "as_built")  # attributes that are no part of the state
CHANGES = "what has changed"  # beside the names of attributes, which have no spaces


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

    exports = ()  # endings of the files that lie beside each picture of samples, such as (".mid", ".wav")
    exported = drawing.MOST  # so many samples are in such a file
    device_rng = None  # the generator of --device-noise
    as_built = None  # a `changes.Description` of what __init__ made, once `remember_as_built` was called

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
        options = {"data_dir": settings.data_dir or None, "hold_out": settings.hold_out}
        return data.load_images(settings.data, seed=settings.seed, **options).images

    def latent(self, n, rng):
        """Return n latent vectors z, standard normal: float32 (n, settings.latent), where rng draws: on the host."""
        return rng.standard_normal((n, self.settings.latent), dtype=np.float32)

    def picture(self, z):
        """Return one uint8 picture (H, W_, C) of the samples G(z): a near-square grid of images unless replaced."""
        return plots.grid(self.images(z))

    def export(self, z, suffix):
        """Return the bytes of the file of the samples G(z) with one of the endings in `exports`."""
        raise NotImplementedError(f"{type(self).__name__} has no export")

    def layout(self, n):
        """Return (rows, columns) of the picture of n samples, by which its cost is known before it is drawn."""
        columns = math.ceil(math.sqrt(n))
        return math.ceil(n / columns), columns

    def walk(self, z, steps):
        """Return one uint8 picture of walks of so many steps, one after the other in z: images have a walk a row."""
        return plots.grid(self.images(z), columns=steps) if len(self.shape) == 3 else self.picture(z)

    def report(self):
        """Return {name: number}: what to print and log at every picture of samples and at the end."""
        return {}

    def looked_at(self, n):
        """Return in words what `evaluate --n` looks at."""
        return f"{n:,} samples"

    def equilibrium(self):
        """Return {loss: value} of what losses are where G draws as the data are, and D can tell nothing; if known."""
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
        return in_pieces(lambda some: self.generate(z[some]), len(z))

    def separate(self, z, first):
        """Return the samples of numbers first, first + 1, ... as images: labels may depend on a sample's number."""
        return self.images(z)

    def infer(self, network, images):
        """Return what a network says of uint8 pictures (N, H, W, C), in inference mode, on the host."""
        parts = [xp.to_device(data.to_signed(images[i : i + 256])) for i in range(0, len(images), 256)]
        return np.concatenate([xp.to_host(network(part)) for part in parts])

    def held_out(self):
        """Return labelled pictures on which this model is not trained, `Images`; None for a folder of pictures."""
        return load_held_out(self.settings.data, self.settings.data_dir, self.settings.seed)

    def remember_as_built(self):
        """Note down how this model was built: a state then tells what training has changed of it."""
        self.as_built = self._pack()[1]

    def state(self):
        """Return {"attribute/name": NumPy array}: a copy of all that this model holds.

        Nothing has to be registered: what has `state` and `load_state` (layers, optimizers, EMA), random generators,
        arrays on host and device, numbers, text, None, and lists, tuples, dictionaries and objects of those. Functions,
        settings, shape and device_rng are not part of it. "what has changed" is a text: which numbers of layers and
        optimizers training has changed, and which attributes are of another structure than they were built.
        Raises TypeError for an attribute that cannot be looked into, and for a change that could not be put back.
        """
        arrays, now = self._pack()
        changed = changes.between(self.as_built.made if self.as_built else {}, now.made)
        if self.as_built:
            changes.demand_possible(changed, self.as_built, now)
        return arrays | {CHANGES: np.array(changes.text(changed))}

    def load_state(self, state):
        """Go on where `state()` was taken.

        A number that this model was given otherwise when it was built stays, with a printed line about it.
        Raises ValueError, and changes nothing, where a name, a shape or a dtype differs, or a weight is not finite.
        """
        own, now = self._pack()
        attributes = self._attributes()
        try:
            notes = self._take_over(state, self.as_built or now)
        except Exception as error:  # damaged text can raise nearly anything
            vars(self).update(attributes)
            self._become(own, now.made)
            if isinstance(error, ValueError | UserError):
                raise
            raise ValueError(f"the state is damaged ({error!r:.100})") from None
        for note in notes:
            say(note)
        self.seed_device()

    def _take_over(self, state, built):
        """Go on where a state was taken, of a model that was built as a Description says; return lines about it."""
        arrays = {name: array for name, array in state.items() if name != CHANGES}
        made, notes = changes.target(built.made, str(state.get(CHANGES, "{}")))
        problem = states.difference(made, arrays, old=CHANGES not in state)
        if problem:
            raise ValueError(problem)
        bad = states.first_not_finite(arrays, built)
        if bad:
            raise ValueError(f"{bad} holds a NaN or an infinity: use an older checkpoint, or another run")
        self._become(arrays, made)
        return notes

    def _pack(self):
        """Return the arrays of all attributes, and a `changes.Description` of what they are."""
        arrays, description = {}, changes.Description(self)
        for path, _ in walk.find(self._attributes(), lambda part: part is self):
            raise TypeError(f"{path} is the model that contains it, which a checkpoint cannot hold")
        for name, value in self._attributes().items():
            if name == CHANGES:
                raise TypeError(f"an attribute is called {name!r}, as an entry of each checkpoint: rename it")
            try:
                arrays |= states.pack(name, value, description)
            except RecursionError:
                raise TypeError(f"{name} contains itself, which a checkpoint cannot hold") from None
        for path in [path for path, item in description.loose.items() if id(item) not in description.saved]:
            arrays |= states.pack(path, description.loose[path], description)
        return arrays, description

    def _become(self, arrays, made):
        """Take over arrays, as attributes of these descriptions, and the numbers of layers and optimizers."""
        names = [name for name in made if "/" not in name]
        for name in self._attributes().keys() - set(names):
            delattr(self, name)
        for name in names:
            setattr(self, name, states.unpack(name, vars(self).get(name), arrays, made))
        changes.put(present := self._pack()[1], made)
        for path in present.loose.keys() & arrays.keys():
            value = states.unpack(path, present.loose[path], arrays, made)
            if value is not present.loose[path]:
                walk.put(*present.places[path], value)

    def _attributes(self):
        return {name: value for name, value in vars(self).items() if name not in APART}


def in_pieces(draw, n):
    """Return n samples as images, uint8 on the host: draw(slice) returns a few on the device, from -1 to 1."""
    return np.concatenate([data.to_bytes(xp.to_host(draw(slice(i, i + 256)))) for i in range(0, n, 256)])


@functools.cache
def load_held_out(name, data_dir, seed):
    """Load the test pictures of a data set, once; of glyphs, 2,000; None for a folder, which has none."""
    if name not in data.NAMES:
        return None
    return data.load_images(name, data_dir=data_dir or None, count=2000, seed=seed, split="test")
