"""Every layer, importable from here."""

from scratchgan.layers.base import Layer, Linear, Pointwise
from scratchgan.layers.compose import Concat, Conditional, Residual, Sequential
from scratchgan.layers.condition import ConditionalAffine, ConditionalBatchNorm, Given, Join, LabelChannels, Projection
from scratchgan.layers.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from scratchgan.layers.dense import Dense, Embedding
from scratchgan.layers.minibatch import Closeness, MinibatchDiscrimination, MinibatchStd, Pack
from scratchgan.layers.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, PixelNorm
from scratchgan.layers.pointwise import ELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Softplus, Tanh
from scratchgan.layers.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, Maxout, MaxPool
from scratchgan.layers.resample import Blur, Crop, Pad, PixelShuffle, PixelUnshuffle, Upsample
from scratchgan.layers.shape import Dropout, Flatten, GaussianNoise, Reshape, Rotations

__all__ = [
    "BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm", "PixelNorm",
    "Concat", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Dense",
    "Dropout", "ELU", "Embedding", "Flatten", "Layer", "LeakyReLU", "Linear", "LogSoftmax",
    "Pointwise", "ReLU", "Reshape", "Residual", "Sequential", "Sigmoid", "Softmax", "Softplus", "Tanh",
    "AvgPool", "Blur", "Crop", "GlobalAvgPool", "GlobalMaxPool", "MaxPool", "Maxout", "Pad", "PixelShuffle",
    "PixelUnshuffle", "Upsample", "Closeness", "MinibatchDiscrimination", "MinibatchStd", "Pack",
    "Conditional", "ConditionalAffine", "ConditionalBatchNorm", "Given", "LabelChannels", "Projection",
    "GaussianNoise", "Join", "Rotations",
]  # fmt: skip
