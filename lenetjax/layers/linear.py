"""Affine layers."""

from typing import Any

import jax
from jax.nn.initializers import Initializer

from lenetjax import functional
from lenetjax.core import Layer, LayerError, Params, layer
from lenetjax.functional.arguments import check_floating, size
from lenetjax.layers.initial import weight_and_bias
from lenetjax.specs import shapes_text


def linear(
    features: int,
    *,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Multiplies by a matrix and adds a bias: ``x @ weight + bias``.

    Args:
      features: the size of the output's last axis.
      bias: whether to add a bias.
      weight_init, bias_init: `jax.nn.initializers`; PyTorch's uniform in
        ±1/sqrt(in) when None.

    Input: (..., in), floating.
    Output: (..., features), in the dtype that x and the params promote to.
    Params: weight (in, features); bias (features,); in x's dtype.

    Raises:
      LayerError: features is no positive int; later, x does not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> params = nn.linear(10).init(jax.random.key(0), jnp.zeros((8, 84)))
      >>> params["weight"].shape, params["bias"].shape
      ((84, 10), (10,))

    Follows `torch.nn.Linear`, with the weight transposed.
    """
    size("features", features)

    def init(key: jax.Array, x: jax.ShapeDtypeStruct) -> Params:
        check_floating(x)
        return weight_and_bias(
            key, (x.shape[-1], features), x.dtype, bias, weight_init, bias_init
        )

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.linear(x, params["weight"], params.get("bias"))

    return layer(linear, init, apply, settings={"features": features, "bias": bias})


def bilinear(
    features: int,
    *,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Computes a product of two inputs for each output: ``x1 @ weight[..., o] @ x2``.

    Args:
      features: the size of the output's last axis.
      bias: whether to add a bias.
      weight_init, bias_init: `jax.nn.initializers`; PyTorch's uniform in
        ±1/sqrt(in1) when None.

    Input: a pair ``(x1, x2)``: (..., in1) and (..., in2), floating.
    Output: (..., features), in the dtype that the inputs and the params promote to.
    Params: weight (in1, in2, features); bias (features,); in x1's dtype.

    Raises:
      LayerError: features is no positive int; later, the inputs do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x = (jnp.zeros((8, 3)), jnp.zeros((8, 4)))
      >>> params = nn.bilinear(2).init(jax.random.key(0), x)
      >>> params["weight"].shape, nn.bilinear(2).apply(params, x).shape
      ((3, 4, 2), (8, 2))

    Follows `torch.nn.Bilinear`, with the outputs on the weight's last axis.
    """
    size("features", features)

    def init(key: jax.Array, x: tuple[jax.ShapeDtypeStruct, ...]) -> Params:
        x1, x2 = _pair(x)
        shape = (x1.shape[-1], x2.shape[-1], features)
        return weight_and_bias(
            key,
            shape,
            x1.dtype,
            bias,
            weight_init,
            bias_init,
            fan_in=x1.shape[-1],
        )

    def apply(params: Params, x: tuple[jax.Array, ...]) -> jax.Array:
        return functional.bilinear(*_pair(x), params["weight"], params.get("bias"))

    return layer(bilinear, init, apply, settings={"features": features, "bias": bias})


def _pair(x: Any) -> tuple[Any, Any]:
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise LayerError(f"expected a pair (x1, x2), got {shapes_text(x)}")
    check_floating(x[0])
    check_floating(x[1])
    return x[0], x[1]
