"""Weights whose size is set apart from their direction. The last axis is the output."""

import jax
import jax.numpy as jnp
from jax import lax

from lenetjax.core import LayerError
from lenetjax.functional.arguments import at_least_float32, check_floating, per_axis
from lenetjax.specs import shapes_text


@jax.named_scope("weight_norm")
def weight_norm(direction: jax.Array, gain: jax.Array) -> jax.Array:
    """Computes ``gain * direction / norm(direction)`` for each output.

    Args:
      direction: (..., out), floating; its norm is taken over all axes but the last.
      gain: (out,), the norms that come out.

    Returns:
      direction's shape and dtype.

    Raises:
      LayerError: shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.weight_norm(jnp.array([[3.0], [4.0]]), jnp.array([10.0]))
      Array([[6.],
             [8.]], dtype=float32)

    Reference: Salimans and Kingma, "Weight Normalization", 2016. Follows
    `torch.nn.utils.parametrizations.weight_norm` with dim=0, its outputs.
    """
    check_floating(direction)
    if gain.shape != direction.shape[-1:]:
        raise LayerError(
            f"expected a gain of shape {direction.shape[-1:]} for the direction "
            f"{shapes_text(direction)}, got {shapes_text(gain)}"
        )
    wide = at_least_float32(direction)
    norm = jnp.sqrt(jnp.square(wide).sum(range(direction.ndim - 1)))
    scale = at_least_float32(gain) / norm
    return (wide * jnp.broadcast_to(scale, wide.shape)).astype(direction.dtype)


@jax.named_scope("spectral_norm")
def spectral_norm(
    weight: jax.Array,
    u: jax.Array,
    v: jax.Array,
    *,
    iterations: int = 1,
    eps: float = 1e-12,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Divides a weight by its largest singular value, found by power iteration.

    The weight counts as a matrix of its outputs by everything else, whose first
    singular vectors are u and v. No gradient flows through the iteration.

    Args:
      weight: (..., out), floating.
      u: (out,), where the iteration stands.
      v: (product of the other axes,), where the iteration stands.
      iterations: how many steps to take; in evaluation, 0.
      eps: keeps a vector of zeros from dividing by zero.

    Returns:
      The weight, in its shape and dtype; and the new u and v.

    Raises:
      LayerError: iterations is negative, or shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> weight = jnp.array([[4.0, 0.0], [0.0, 2.0]])
      >>> u, v = jnp.zeros(2), jnp.array([1.0, 0.0])
      >>> weight, u, v = nn.functional.spectral_norm(weight, u, v)
      >>> weight
      Array([[1. , 0. ],
             [0. , 0.5]], dtype=float32)

    Reference: Miyato et al., "Spectral Normalization for Generative Adversarial
    Networks", 2018. Follows `torch.nn.utils.parametrizations.spectral_norm`, whose v
    is ordered (in, ...kernel...) where this one is (...kernel..., in).
    """
    check_floating(weight)
    rest = weight.size // weight.shape[-1] if weight.ndim > 1 and weight.size else 0
    if rest == 0 or u.shape != weight.shape[-1:] or v.shape != (rest,):
        raise LayerError(
            "expected a weight (..., in, out), u (out,) and v (everything else,), got "
            f"{shapes_text((weight, u, v))}"
        )
    per_axis("iterations", iterations, 1, least=0)
    matrix = at_least_float32(weight).reshape(rest, -1)
    fixed = lax.stop_gradient(matrix)
    u, v = lax.stop_gradient((u, v))
    for _ in range(iterations):
        u = _unit(v @ fixed, eps).astype(u.dtype)
        v = _unit(fixed @ u, eps).astype(v.dtype)
    sigma = v @ matrix @ u
    return (weight / sigma).astype(weight.dtype), u, v


def _unit(vector: jax.Array, eps: float) -> jax.Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), eps)
