"""Every layer, importable from here."""

from scratchgan.layers.base import Layer, Linear, Pointwise
from scratchgan.layers.compose import Concat, Residual, Sequential
from scratchgan.layers.dense import Dense, Embedding
from scratchgan.layers.pointwise import ELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Softplus, Tanh
from scratchgan.layers.shape import Dropout, Flatten, Reshape

__all__ = [
    "Concat", "Dense", "Dropout", "ELU", "Embedding", "Flatten", "Layer", "LeakyReLU", "Linear", "LogSoftmax",
    "Pointwise", "ReLU", "Reshape", "Residual", "Sequential", "Sigmoid", "Softmax", "Softplus", "Tanh",
]  # fmt: skip
