"""Affine maps as array functions."""

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.functional.arguments import check_floating, same_dtype
from lenetjax.specs import shapes_text


@jax.named_scope("linear")
def linear(x: jax.Array, weight: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """Multiplies by a matrix and adds a bias: ``x @ weight + bias``.

    Args:
      x: (..., in), floating.
      weight: (in, out): the transpose of PyTorch's.
      bias: (out,), or None.

    Returns:
      (..., out), in the dtype that x and weight promote to.

    Raises:
      LayerError: shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.linear(jnp.ones((8, 3)), jnp.ones((3, 2)), jnp.zeros(2)).shape
      (8, 2)

    Follows `torch.nn.functional.linear`, with the weight transposed.
    """
    check_floating(x)
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[0]:
        raise LayerError(
            f"expected x (..., in) and a weight (in, out), got {shapes_text(x)} and "
            f"{shapes_text(weight)}"
        )
    x, weight, bias = same_dtype(x, weight, bias)  # type: ignore[assignment]
    y = x @ weight
    if bias is None:
        return y
    if bias.shape != weight.shape[1:]:
        raise LayerError(f"expected a bias {weight.shape[1:]}, got {shapes_text(bias)}")
    return y + jnp.broadcast_to(bias, y.shape)


@jax.named_scope("bilinear")
def bilinear(
    x1: jax.Array, x2: jax.Array, weight: jax.Array, bias: jax.Array | None = None
) -> jax.Array:
    """Computes a product of two inputs for each output: ``x1 @ weight[..., o] @ x2``.

    Args:
      x1: (..., in1), floating.
      x2: (..., in2), floating, with the same axes before the last.
      weight: (in1, in2, out); in PyTorch out comes first.
      bias: (out,), or None.

    Returns:
      (..., out), in the dtype that the inputs and the weight promote to.

    Raises:
      LayerError: shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x1, x2 = jnp.ones((8, 3)), jnp.ones((8, 4))
      >>> nn.functional.bilinear(x1, x2, jnp.ones((3, 4, 2))).shape
      (8, 2)

    Follows `torch.nn.functional.bilinear`.
    """
    check_floating(x1)
    check_floating(x2)
    if (
        weight.ndim != 3
        or (x1.shape[-1:], x2.shape[-1:]) != (weight.shape[:1], weight.shape[1:2])
        or x1.shape[:-1] != x2.shape[:-1]
    ):
        raise LayerError(
            "expected x1 (..., in1), x2 (..., in2) and a weight (in1, in2, out), got "
            f"{shapes_text(x1)}, {shapes_text(x2)} and {shapes_text(weight)}"
        )
    x1, x2, weight, bias = same_dtype(x1, x2, weight, bias)  # type: ignore[assignment]
    y = jnp.einsum("...i,ijo,...j->...o", x1, weight, x2)
    if bias is None:
        return y
    if bias.shape != weight.shape[2:]:
        raise LayerError(f"expected a bias {weight.shape[2:]}, got {shapes_text(bias)}")
    return y + jnp.broadcast_to(bias, y.shape)
