"""jax.nn's activations against PyTorch's, as the README's table pairs them."""

import functools

import jax
import numpy as np
import pytest
from against_torch import agree, draw, torch

PAIRS = {
    "relu": (jax.nn.relu, torch.nn.ReLU()),
    "relu6": (jax.nn.relu6, torch.nn.ReLU6()),
    "selu": (jax.nn.selu, torch.nn.SELU()),
    "silu": (jax.nn.silu, torch.nn.SiLU()),
    "mish": (jax.nn.mish, torch.nn.Mish()),
    "soft_sign": (jax.nn.soft_sign, torch.nn.Softsign()),
    "sigmoid": (jax.nn.sigmoid, torch.nn.Sigmoid()),
    "tanh": (jax.nn.tanh, torch.nn.Tanh()),
    "log_sigmoid": (jax.nn.log_sigmoid, torch.nn.LogSigmoid()),
    "gelu": (functools.partial(jax.nn.gelu, approximate=False), torch.nn.GELU()),
    "gelu tanh": (jax.nn.gelu, torch.nn.GELU("tanh")),
    "elu": (functools.partial(jax.nn.elu, alpha=0.5), torch.nn.ELU(0.5)),
    "celu": (functools.partial(jax.nn.celu, alpha=0.5), torch.nn.CELU(0.5)),
    "leaky_relu": (jax.nn.leaky_relu, torch.nn.LeakyReLU()),
    "hard_sigmoid": (jax.nn.hard_sigmoid, torch.nn.Hardsigmoid()),
    "hard_swish": (jax.nn.hard_swish, torch.nn.Hardswish()),
    "hard_tanh": (jax.nn.hard_tanh, torch.nn.Hardtanh()),
    "softplus": (jax.nn.softplus, torch.nn.Softplus(threshold=40)),
    "softmax": (jax.nn.softmax, torch.nn.Softmax(-1)),
    "softmin": (lambda x: jax.nn.softmax(-x), torch.nn.Softmin(-1)),
    "log_softmax": (jax.nn.log_softmax, torch.nn.LogSoftmax(-1)),
    "glu": (jax.nn.glu, torch.nn.GLU()),
}


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
@pytest.mark.parametrize("name", PAIRS)
def test_activation(name, scale):
    """Values near zero and far from it."""
    ours, theirs = PAIRS[name]
    dtypes = {"float64", "float32"}
    if name == "hard_sigmoid":  # PyTorch's gradient has 1/6 in float32 only
        dtypes.remove("float64")
    if scale == 30.0 and "soft" in name:  # float32 has no digits left of 1 - y
        dtypes.remove("float32")

    agree(ours, theirs, draw(1, 5, 4, scale=scale), dtypes=dtypes)


def test_a_corner_of_relu_has_no_slope():
    """At exactly zero the gradient is zero, in both."""
    agree(jax.nn.relu, torch.relu, np.zeros((2, 3)))
