"""The linear layer."""

import jax
from jax.nn.initializers import Initializer

from lenetjax import functional
from lenetjax.core import Layer, Params, layer
from lenetjax.functional.arguments import check_floating, size
from lenetjax.layers.initial import weight_and_bias


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
