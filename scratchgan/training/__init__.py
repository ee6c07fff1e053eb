"""Training: `main` for a script, `train` for a program; `Model` and `Settings` to be subclassed."""

from scratchgan.training.command import main
from scratchgan.training.labelled import LabelledModel, accuracy
from scratchgan.training.latent_commands import arithmetic
from scratchgan.training.loop import load_model, train
from scratchgan.training.model import Model
from scratchgan.training.progress import Stopped
from scratchgan.training.sequences import Sequences
from scratchgan.training.settings import Settings, option
from scratchgan.training.translation import Comparison, Translation

__all__ = [
    "Comparison", "LabelledModel", "Model", "Sequences", "Settings", "Stopped", "Translation",
    "accuracy", "arithmetic", "load_model", "main", "option", "train",
]  # fmt: skip
