"""Activations with params, as array functions; `jax.nn` has those without."""

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.functional.arguments import check_floating, same_dtype
from lenetjax.specs import shapes_text


@jax.named_scope("prelu")
def prelu(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Computes ``x`` where it is positive, and ``weight * x`` elsewhere.

    Args:
      x: (..., channels), floating.
      weight: the slope below zero, (1,) for all channels or (channels,).

    Returns:
      x's shape, in the dtype that x and weight promote to.

    Raises:
      LayerError: shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.prelu(jnp.array([-4.0, 4.0]), jnp.array([0.25]))
      Array([-1.,  4.], dtype=float32)

    Reference: He et al., "Delving Deep into Rectifiers", 2015. Follows
    `torch.nn.functional.prelu`, channels last.
    """
    check_floating(x)
    if weight.shape not in ((1,), x.shape[-1:]):
        raise LayerError(
            f"expected a weight (1,) or (channels,) for {shapes_text(x)}, "
            f"got {shapes_text(weight)}"
        )
    x, weight = same_dtype(x, weight)  # type: ignore[assignment]
    slope = weight.reshape(()) if weight.shape == (1,) else weight
    below = jnp.where(x > 0, 0, x)  # an inf above must not meet the slope's gradient
    return jnp.where(x > 0, x, jnp.broadcast_to(slope, x.shape) * below)
