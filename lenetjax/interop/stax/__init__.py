"""A drop-in for `jax.example_libraries.stax`: the same names, params and numbers.

``from lenetjax.interop import stax`` in place of ``from jax.example_libraries import
stax`` is all that old code needs. A layer is a pair (init_fun, apply_fun):

- ``init_fun(rng, input_shape)`` returns ``(output_shape, params)``;
- ``apply_fun(params, inputs, rng=None)`` returns the output.

For equal keys the initial params are equal bit for bit. Beyond the original, shapes
that do not fit are refused by layer, missing params and inputs are noticed, dropout
needs no key in evaluation, and nothing relies on promotion of ranks.
The functions of `jax.nn` that the original has among its names, such as `relu` and
`glorot`, are here as well, though not for ``import *``.
`lenetjax.interop.from_stax` and `lenetjax.interop.to_stax` lead to layers of lenetjax
and back.
"""

# Names of the original's that JAX itself documents.
from jax.nn import elu as elu
from jax.nn import gelu as gelu
from jax.nn import leaky_relu as leaky_relu
from jax.nn import log_softmax as log_softmax
from jax.nn import relu as relu
from jax.nn import selu as selu
from jax.nn import sigmoid as sigmoid
from jax.nn import softmax as softmax
from jax.nn import softplus as softplus
from jax.nn import standardize as standardize
from jax.nn.initializers import glorot_normal as glorot_normal
from jax.nn.initializers import normal as normal
from jax.nn.initializers import ones as ones
from jax.nn.initializers import zeros as zeros

from lenetjax.interop.stax.combinators import parallel, serial, shape_dependent
from lenetjax.interop.stax.layers import (
    BatchNorm,
    Conv,
    Conv1DTranspose,
    ConvTranspose,
    Dense,
    Dropout,
    GeneralConv,
    GeneralConvTranspose,
)
from lenetjax.interop.stax.pooling import AvgPool, MaxPool, SumPool
from lenetjax.interop.stax.simple import (
    Elu,
    Exp,
    FanInConcat,
    FanInSum,
    FanOut,
    Flatten,
    Gelu,
    Identity,
    LeakyRelu,
    LogSoftmax,
    Relu,
    Selu,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
    elementwise,
)

glorot = glorot_normal
logsoftmax = log_softmax
randn = normal

__all__ = [
    "AvgPool",
    "BatchNorm",
    "Conv",
    "Conv1DTranspose",
    "ConvTranspose",
    "Dense",
    "Dropout",
    "Elu",
    "Exp",
    "FanInConcat",
    "FanInSum",
    "FanOut",
    "Flatten",
    "Gelu",
    "GeneralConv",
    "GeneralConvTranspose",
    "Identity",
    "LeakyRelu",
    "LogSoftmax",
    "MaxPool",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "SumPool",
    "Tanh",
    "elementwise",
    "parallel",
    "serial",
    "shape_dependent",
]
