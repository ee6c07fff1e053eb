"""Every layer, importable from here."""

from scratchgan.layers.activations import (
    ELU,
    LeakyReLU,
    LogSoftmax,
    Maxout,
    PReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Softplus,
    Surprise,
    Tanh,
)
from scratchgan.layers.attention import Attention, Causal, Gain, PictureAttention
from scratchgan.layers.augment import Brightness, Contrast, Cutout, RandomLinear, Shift, Warp
from scratchgan.layers.base import FixedMap, Layer, LinearMap, Pointwise
from scratchgan.layers.blend import Blend, Fade
from scratchgan.layers.compose import Add, Concat, Each, Fork, Join, Part, Residual, Sequential
from scratchgan.layers.condition import (
    Conditional,
    ConditionalAffine,
    ConditionalBatchNorm,
    FiLM,
    LabelChannels,
    Projection,
)
from scratchgan.layers.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from scratchgan.layers.dense import Dense, Embedding
from scratchgan.layers.minibatch import Closeness, MinibatchDiscrimination, MinibatchStd, Pack
from scratchgan.layers.noise import Dropout, GaussianNoise, GaussianSample, PhaseShuffle
from scratchgan.layers.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, PixelNorm
from scratchgan.layers.pairs import Bilinear, Dot, Mix, Modulate, Scores
from scratchgan.layers.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from scratchgan.layers.recurrent import GRU, LSTM, RNN, GRUGates, LSTMGates, Recurrent
from scratchgan.layers.resample import Blur, Crop, Pad, PixelShuffle, PixelUnshuffle, Rotations, Upsample
from scratchgan.layers.shape import Columns, Flatten, Reshape, Row
from scratchgan.layers.styles import (
    Bias,
    Constant,
    Demodulation,
    ModulatedConv2d,
    Noise,
    Styled,
    Synthesis,
)

__all__ = [
    # what a layer is
    "Layer", "LinearMap", "FixedMap", "Pointwise", "Bilinear", "RandomLinear",
    # of one array
    "Dense", "Embedding",
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
    "ReLU", "LeakyReLU", "PReLU", "Tanh", "Sigmoid", "Softplus", "ELU", "Surprise",
    "Softmax", "LogSoftmax", "Maxout", "Dropout", "GaussianNoise", "PhaseShuffle",
    "BatchNorm", "LayerNorm", "InstanceNorm", "GroupNorm", "PixelNorm",
    "Flatten", "Reshape", "Columns", "Row", "Bias", "Upsample", "AvgPool", "MaxPool", "GlobalAvgPool", "GlobalMaxPool",
    "PixelShuffle", "PixelUnshuffle", "Pad", "Crop", "Blur", "Rotations",
    # augmentations
    "Brightness", "Contrast", "Shift", "Cutout", "Warp",
    # that see a whole batch
    "Pack", "MinibatchStd", "Closeness", "MinibatchDiscrimination",
    # of sequences
    "RNN", "LSTM", "GRU", "LSTMGates", "GRUGates", "Recurrent",
    # of layers, of tuples and of pairs
    "Sequential", "Fork", "Each", "Join", "Add", "Part", "Residual", "Concat", "Conditional",
    "Blend", "Fade",
    "Modulate", "Scores", "Mix", "Dot", "Causal", "Attention", "PictureAttention", "Gain",
    "GaussianSample",
    "LabelChannels", "Projection", "ConditionalAffine", "ConditionalBatchNorm", "FiLM",
    # of styles
    "Demodulation", "ModulatedConv2d", "Noise", "Styled", "Constant", "Synthesis",
]  # fmt: skip
