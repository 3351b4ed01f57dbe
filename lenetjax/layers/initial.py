"""Initial values of layers with a weight and a bias; PyTorch's by default."""

import math

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from lenetjax.core import Params


def uniform_fan_in(fan_in: int) -> Initializer:
    """Draws uniformly from ±1/sqrt(fan_in), as PyTorch does for linear and convolution.

    Reference: `torch.nn.Linear` and `torch.nn.Conv2d`, sections "Variables".
    """
    bound = 1 / math.sqrt(fan_in)

    def init(
        key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype | None = None
    ) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init  # type: ignore[return-value]


def weight_and_bias(
    key: jax.Array,
    shape: tuple[int, ...],
    dtype: jax.typing.DTypeLike,
    bias: bool,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
) -> Params:
    """Draws a weight (..., in, out) and, if asked for, a bias (out,)."""
    default = uniform_fan_in(math.prod(shape[:-1]))
    weight_key, bias_key = jax.random.split(key)
    params = {"weight": (weight_init or default)(weight_key, shape, dtype)}
    if bias:
        params["bias"] = (bias_init or default)(bias_key, shape[-1:], dtype)
    return params
