"""Pure array functions: what the layers compute, without params of their own."""

from lenetjax.functional.convolution import conv2d
from lenetjax.functional.dropout import dropout
from lenetjax.functional.linear import linear
from lenetjax.functional.normalization import batch_norm, batch_statistics
from lenetjax.functional.pooling import avg_pool2d, max_pool2d
from lenetjax.functional.shaping import flatten

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "batch_statistics",
    "conv2d",
    "dropout",
    "flatten",
    "linear",
    "max_pool2d",
]
