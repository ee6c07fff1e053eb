"""Which examples several processes can train, and which say before their first step that they cannot."""

import numpy as np
import pytest
import test_examples as table
from emulated import together as emulate

from scratchgan import parallel
from scratchgan.data import Batches
from scratchgan.fast import threads
from scratchgan.support.errors import UserError
from scratchgan.training import loop, together

ACCEPTED = (
    "gan", "gan hinge", "dcgan", "dcgan, average", "gan2d", "wgan", "wgan_gp2d", "ragan paired",
    "pacgan", "veegan", "improved_gan", "improved_gan instance_noise 0.1", "cgan, perceptrons", "infogan",
    "inpainting", "seqgan", "made", "made, lstm", "vae_cells", "gan_cells", "fgan", "vae", "bigan",
    "diffaugment", "diffaugment, ada", "sagan", "biggan",
)  # fmt: skip
REFUSED = {
    "ragan": "losses.against_average", "ragan hinge": "losses.against_average",  # means of scores
    "unrolled": "opt_G",  # D's next steps, of a part of the samples
    "improved_gan feature_matching True": "losses.feature_matching", "semi_supervised": "losses.feature_matching",
    **dict.fromkeys(("sngan", "wgan_gp", "r1gan", "dragan"), r"D\.4"),  # how much samples differ
    "improved_gan batch_layer discrimination": r"D\.1\.0", "improved_gan batch_layer std": r"D\.1\.0",
    "data_augmentation": "opt_D", "text_to_image": "opt_D",  # draws that are no rows of the batch
    "ssgan": r"D\.1\.0\.0",  # and it turns the first pictures of a batch
    "cyclegan": "pool_A/images",  # old samples, kept
    "text_lstm": "optimizer", "seq2seq": "opt_G",  # means over words, of unequal sentences
    "ebgan": "opt_G",  # the term that pulls samples apart
    "began": "k",  # follows the loss of a share
    "gail": "opt_V",
    "stylegan2": r"D\.4", "progressive": r"D\.levels\.0\.3\.0",  # groups of a batch
}  # fmt: skip


def tried(name, monkeypatch):
    """Let two emulated processes try an example before its first step."""
    Model, Settings, options = table.EXAMPLES[name]
    settings = Settings(batch_size=24, **options)
    threads.use(1)
    arrays = [loop.on_device(array) for array in table.loaded(Model, settings)]

    def work(rank):
        batches = Batches(*arrays, batch_size=24, rng=np.random.default_rng(1))
        rng = together.Shared(np.random.default_rng(0).bit_generator)
        with parallel.alone():
            model = Model(settings, arrays[0].shape[1:], rng)
        model.remember_as_built()
        together.demand_as_one(model, batches)

    emulate(2, work, monkeypatch)


@pytest.mark.parametrize("name", ACCEPTED)
def test_several_can_train(name, monkeypatch):
    tried(name, monkeypatch)


@pytest.mark.parametrize("name", REFUSED)
def test_one_alone_can_train(name, monkeypatch):
    with pytest.raises(UserError, match=f"2 processes would not train this model as one does: .*{REFUSED[name]}"):
        tried(name, monkeypatch)
