"""Activations with params; `jax.nn` has those without."""

import jax
import jax.numpy as jnp

from lenetjax import functional
from lenetjax.core import Layer, LayerError, Params, layer
from lenetjax.functional.arguments import check_floating, size
from lenetjax.specs import shapes_text


def prelu(num_parameters: int = 1, *, init: float = 0.25) -> Layer:
    """Computes ``x`` where it is positive, and ``weight * x`` elsewhere.

    Args:
      num_parameters: 1 slope for all channels, or as many as there are channels.
      init: the slopes' initial value.

    Input: (..., channels), floating.
    Output: the same shape and dtype.
    Params: weight (num_parameters,), in x's dtype.

    Raises:
      LayerError: num_parameters is not positive; later, x has other channels.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> params = nn.prelu().init(jax.random.key(0), jnp.zeros((2, 3)))
      >>> nn.prelu().apply(params, jnp.array([[-4.0, 0.0, 4.0]]))
      Array([[-1.,  0.,  4.]], dtype=float32)

    Reference: He et al., "Delving Deep into Rectifiers", 2015. Follows
    `torch.nn.PReLU`, channels last.
    """
    size("num_parameters", num_parameters)

    def make(key: jax.Array, x: jax.ShapeDtypeStruct) -> Params:
        check_floating(x)
        if num_parameters not in (1, *x.shape[-1:]):
            raise LayerError(
                f"expected {num_parameters} channels on the last axis, "
                f"got {shapes_text(x)}"
            )
        return {"weight": jnp.full(num_parameters, init, x.dtype)}

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.prelu(x, params["weight"])

    settings = {"num_parameters": num_parameters, "init": init}
    return layer(prelu, make, apply, settings=settings)
