"""Layers: `init` and `apply` pairs over the functions of `lenetjax.functional`."""

from lenetjax.layers.convolution import conv2d
from lenetjax.layers.dropout import dropout
from lenetjax.layers.linear import linear
from lenetjax.layers.normalization import batch_norm
from lenetjax.layers.pooling import avg_pool2d, max_pool2d
from lenetjax.layers.shaping import flatten

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "dropout",
    "flatten",
    "linear",
    "max_pool2d",
]
