"""Vectors for integers and for positions, as array functions."""

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import LayerError
from lenetjax.functional.arguments import (
    ArrayLike,
    check_floating,
    is_int,
    is_number,
    per_axis,
)
from lenetjax.specs import shapes_text


@jax.named_scope("embedding")
def embedding(
    x: jax.Array, weight: jax.Array, *, padding_idx: int | None = None
) -> jax.Array:
    """Looks up a row of a matrix for each integer.

    Args:
      x: ints, any shape, from 0 to ``num_embeddings - 1``.
      weight: (num_embeddings, features), floating.
      padding_idx: a row that gets no gradient, counted from the end if negative.

    Returns:
      x's shape with an axis of features added, in weight's dtype. Under `jax.jit`,
      where values cannot be refused, an integer out of range gives a row of NaN, and
      no gradient reaches the weight from it.

    Raises:
      LayerError: shapes or dtypes do not fit, padding_idx is no row of the weight, or
        (outside of `jax.jit`) an integer is out of range. A negative one is.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> weight = jnp.array([[0.0, 1.0], [2.0, 3.0]])
      >>> nn.functional.embedding(jnp.array([1, 1, 0]), weight)
      Array([[2., 3.],
             [2., 3.],
             [0., 1.]], dtype=float32)

    Follows `torch.nn.functional.embedding`.
    """
    check_integers(x)
    if getattr(weight, "ndim", None) != 2:
        raise LayerError(
            f"expected a weight (num_embeddings, features), got {shapes_text(weight)}"
        )
    check_floating(weight)
    rows = weight.shape[0]
    # a negative int becomes a huge one here
    right = x.astype(jax.dtypes.canonicalize_dtype("uint64")) < rows
    if not isinstance(right, jax.core.Tracer) and not right.all():
        raise LayerError(
            f"expected ints from 0 to {rows - 1}, got ints from {x.min()} to "
            f"{x.max()} in {shapes_text(x)}; use a larger num_embeddings"
        )
    x = jnp.where(right, x.astype(jnp.int32), rows)
    y = weight.at[x].get(mode="fill", fill_value=jnp.nan)
    if padding_idx is None:
        return y
    padded = jnp.expand_dims(x == padding_row(padding_idx, rows), -1)
    return jnp.where(jnp.broadcast_to(padded, y.shape), jax.lax.stop_gradient(y), y)


def padding_row(padding_idx: int, rows: int) -> int:
    """Counts a row from the start.

    Raises:
      LayerError: there is no such row.
    """
    if not is_int(padding_idx) or not -rows <= padding_idx < rows:
        raise LayerError(
            f"padding_idx must be an int from {-rows} to {rows - 1}, or None, "
            f"got {padding_idx!r}"
        )
    return int(padding_idx) % rows


def check_integers(x: ArrayLike) -> None:
    """Refuses arrays of anything but integers.

    Raises:
      LayerError: the dtype is not an integer one.
    """
    if not hasattr(x, "dtype") or not jnp.issubdtype(x.dtype, jnp.integer):
        raise LayerError(
            f"expected ints, got {shapes_text(x)}; convert them: x.astype(jnp.int32)"
        )


@jax.named_scope("sinusoidal_table")
def sinusoidal_table(length: int, features: int, *, base: float = 10000.0) -> jax.Array:
    """Makes the fixed vector of each position: sines and cosines of rising period.

    Column ``2 i`` is ``sin(position / base ** (2 i / features))``, and column
    ``2 i + 1`` is the cosine of the same angle.

    Args:
      length: the number of positions, at least 0.
      features: the size of each vector; if it is odd, the last column is a sine.
      base: how much longer the longest period is than the shortest, nearly.

    Returns:
      (length, features), float32, or float64 under `jax_enable_x64`.

    Raises:
      LayerError: a size is no int in range, or base is not positive.

    Example:
      >>> import lenetjax as nn
      >>> nn.functional.sinusoidal_table(2, 3)
      Array([[0.        , 1.        , 0.        ],
             [0.84147096, 0.5403023 , 0.00215443]], dtype=float32)

    Reference: Vaswani et al., "Attention Is All You Need", 2017, section 3.5.
    """
    per_axis("length", length, 1, least=0)
    per_axis("features", features, 1)
    column = np.arange(features)
    angles = _angles(length, 2 * (column // 2) / features, base)
    table = np.where(column[None] % 2 == 0, np.sin(angles), np.cos(angles))
    return jnp.asarray(table, dtype=float)


@jax.named_scope("rotary")
def rotary(
    x: jax.Array, *, base: float = 10000.0, positions: jax.Array | None = None
) -> jax.Array:
    """Rotates each head's features by angles that grow with the position.

    Feature ``i`` of the first half and feature ``i`` of the second half are the two
    coordinates that turn together, by ``position / base ** (2 i / head_features)``:
    the convention of GPT-NeoX and Llama ("rotate half"), not the paper's neighbours.
    The product of a rotated query and a rotated key depends on how far apart they
    are, and not on where.

    Args:
      x: queries or keys (batch, length, heads, head_features), floating.
      base: how much longer the longest period is than the shortest, nearly.
      positions: (length,) or (batch, length); 0, 1, 2, ... when None. Their angles
        are computed in the precision of x, but at least float32.

    Returns:
      x's shape and dtype.

    Raises:
      LayerError: shapes or dtypes do not fit, head_features is odd, or base is not
        positive.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x = jnp.ones((1, 2, 1, 2))
      >>> nn.functional.rotary(x)[0, :, 0]
      Array([[ 1.        ,  1.        ],
             [-0.30116868,  1.3817732 ]], dtype=float32)

    Reference: Su et al., "RoFormer", 2021.
    """
    check_heads("x", x)
    if x.shape[-1] % 2:
        raise LayerError(
            f"expected an even number of features in each head, got {shapes_text(x)}"
        )
    wide = jnp.promote_types(x.dtype, jnp.float32)
    half = x.shape[-1] // 2
    exponents = np.arange(half) / max(half, 1)
    if positions is None:
        angles = _angles(x.shape[1], exponents, base)[None, :, None]
        cos, sin = jnp.asarray(np.cos(angles), wide), jnp.asarray(np.sin(angles), wide)
    else:
        turns = _angles_at(positions, x, exponents, base, wide)[:, :, None]
        cos, sin = jnp.cos(turns), jnp.sin(turns)
    one, other = x[..., :half].astype(wide), x[..., half:].astype(wide)
    turned = [one * cos - other * sin, other * cos + one * sin]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def check_heads(name: str, x: ArrayLike) -> None:
    """Refuses what is not (batch, length, heads, head_features), floating.

    Raises:
      LayerError: the number of axes is wrong, or the dtype is not floating.
    """
    if len(getattr(x, "shape", ())) != 4:
        raise LayerError(
            f"expected {name} (batch, length, heads, head_features), "
            f"got {shapes_text(x)}"
        )
    check_floating(x)


def check_sequence(name: str, x: ArrayLike) -> None:
    """Refuses what is not (batch, length, features), floating.

    Raises:
      LayerError: the number of axes is wrong, or the dtype is not floating.
    """
    if len(getattr(x, "shape", ())) != 3:
        raise LayerError(
            f"expected {name} (batch, length, features), got {shapes_text(x)}"
        )
    check_floating(x)


def check_base(base: float) -> None:
    """Refuses what is no positive number.

    Raises:
      LayerError: it is something else.
    """
    if not is_number(base) or not 0 < base < float("inf"):
        raise LayerError(f"base must be a positive number, got {base!r}")


def _angles(length: int, exponents: np.ndarray, base: float) -> np.ndarray:
    """In float64: float32 would lose digits at large positions."""
    check_base(base)
    return np.arange(length)[:, None] * (float(base) ** -exponents)[None]


def _angles_at(
    positions: jax.Array,
    x: jax.Array,
    exponents: np.ndarray,
    base: float,
    dtype: jnp.dtype,
) -> jax.Array:
    check_base(base)
    positions = jnp.asarray(positions)
    if positions.shape not in (x.shape[:2], x.shape[1:2]):
        raise LayerError(
            f"expected positions (length,) or (batch, length) for {shapes_text(x)}, "
            f"got {shapes_text(positions)}"
        )
    frequencies = jnp.asarray(float(base) ** -exponents, dtype)
    positions = positions.astype(dtype).reshape(-1, x.shape[1], 1)
    return positions * frequencies[None, None]
