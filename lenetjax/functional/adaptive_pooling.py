"""Pooling to a given size, as array functions. Images are (batch, ..., channels)."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.functional.arguments import check_floating, check_images, is_int
from lenetjax.functional.windows import bins_of, indices, largest
from lenetjax.specs import shapes_text

OutputSize = int | None | Sequence[int | None]


@jax.named_scope("adaptive_avg_pool1d")
def adaptive_avg_pool1d(x: jax.Array, output_size: OutputSize) -> jax.Array:
    """Takes means of sequences, over windows that make the output this long.

    Args, errors: as in `adaptive_avg_pool2d`, for x (batch, width, channels).

    Returns:
      (batch, output width, channels), x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.adaptive_avg_pool1d(jnp.ones((8, 30, 6)), 7).shape
      (8, 7, 6)

    Follows `torch.nn.functional.adaptive_avg_pool1d`, channels last.
    """
    return _adaptive_avg_pool(1, x, output_size)


@jax.named_scope("adaptive_avg_pool2d")
def adaptive_avg_pool2d(x: jax.Array, output_size: OutputSize) -> jax.Array:
    """Takes means over windows that make the output this large.

    Args:
      x: images (batch, height, width, channels), floating.
      output_size: the output's height and width: an int or one for each axis; None
        keeps an axis as it is. Window i of `out` windows on an axis of n values goes
        from i * n // out to (i + 1) * n / out, rounded up.

    Returns:
      (batch, output height, output width, channels), x's dtype.

    Raises:
      LayerError: x is no batch of images or has an empty axis, or a size is not
        positive.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.adaptive_avg_pool2d(jnp.ones((8, 30, 30, 6)), (5, 7)).shape
      (8, 5, 7, 6)

    Follows `torch.nn.functional.adaptive_avg_pool2d`, channels last.
    """
    return _adaptive_avg_pool(2, x, output_size)


@jax.named_scope("adaptive_avg_pool3d")
def adaptive_avg_pool3d(x: jax.Array, output_size: OutputSize) -> jax.Array:
    """Takes means of volumes, over windows that make the output this large.

    Args, errors: as in `adaptive_avg_pool2d`, for x (batch, depth, height, width,
    channels).

    Returns:
      (batch, output depth, output height, output width, channels), x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.adaptive_avg_pool3d(jnp.ones((2, 4, 8, 8, 6)), 3).shape
      (2, 3, 3, 3, 6)

    Follows `torch.nn.functional.adaptive_avg_pool3d`, channels last.
    """
    return _adaptive_avg_pool(3, x, output_size)


@jax.named_scope("adaptive_max_pool1d")
def adaptive_max_pool1d(x: jax.Array, output_size: OutputSize) -> jax.Array:
    """Takes the largest values of sequences, in windows that make the output this long.

    Args, errors: as in `adaptive_avg_pool2d`, for x (batch, width, channels).

    Returns:
      (batch, output width, channels), x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.adaptive_max_pool1d(jnp.ones((8, 30, 6)), 7).shape
      (8, 7, 6)

    Follows `torch.nn.functional.adaptive_max_pool1d`, channels last.
    """
    return _adaptive_max_pool(1, x, output_size)


@jax.named_scope("adaptive_max_pool2d")
def adaptive_max_pool2d(x: jax.Array, output_size: OutputSize) -> jax.Array:
    """Takes the largest value of each of the windows that make the output this large.

    The gradient goes to the first maximum of a window.

    Args, errors: as in `adaptive_avg_pool2d`.

    Returns:
      (batch, output height, output width, channels), x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.adaptive_max_pool2d(jnp.ones((8, 30, 30, 6)), (5, 7)).shape
      (8, 5, 7, 6)

    Follows `torch.nn.functional.adaptive_max_pool2d`, channels last.
    """
    return _adaptive_max_pool(2, x, output_size)


@jax.named_scope("adaptive_max_pool3d")
def adaptive_max_pool3d(x: jax.Array, output_size: OutputSize) -> jax.Array:
    """Takes the largest values of volumes, in windows that make the output this large.

    Args, errors: as in `adaptive_avg_pool2d`, for x (batch, depth, height, width,
    channels).

    Returns:
      (batch, output depth, output height, output width, channels), x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.adaptive_max_pool3d(jnp.ones((2, 4, 8, 8, 6)), 3).shape
      (2, 3, 3, 3, 6)

    Follows `torch.nn.functional.adaptive_max_pool3d`, channels last.
    """
    return _adaptive_max_pool(3, x, output_size)


@jax.named_scope("global_avg_pool")
def global_avg_pool(x: jax.Array) -> jax.Array:
    """Takes the mean of each channel over all spatial axes.

    Args:
      x: (batch, ...spatial..., channels), floating, with one spatial axis or more.

    Returns:
      (batch, channels), x's dtype.

    Raises:
      LayerError: x has no spatial axis, an empty one, or is not floating.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.global_avg_pool(jnp.ones((8, 30, 30, 6))).shape
      (8, 6)

    Equal to `torch.nn.functional.adaptive_avg_pool2d(x, 1)`, flattened.
    """
    return _one_axis(x).mean(1)


@jax.named_scope("global_max_pool")
def global_max_pool(x: jax.Array) -> jax.Array:
    """Takes the largest value of each channel over all spatial axes.

    The gradient goes to the first maximum.

    Args, errors: as in `global_avg_pool`.

    Returns:
      (batch, channels), x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.global_max_pool(jnp.ones((8, 30, 30, 6))).shape
      (8, 6)

    Equal to `torch.nn.functional.adaptive_max_pool2d(x, 1)`, flattened.
    """
    x = _one_axis(x)
    return largest(x, 1, indices(bins_of(x.shape[1], 1))).squeeze(1)


def check_output_size(value: OutputSize, rank: int) -> tuple[int | None, ...]:
    """Spells out the size of an adaptive pooling's output.

    Raises:
      LayerError: it is no positive int, None, or one of them for each axis.
    """
    sizes = value if isinstance(value, Sequence) else (value,) * rank
    if len(sizes) != rank or not all(
        size is None or (is_int(size) and size > 0) for size in sizes
    ):
        several = f", or {rank} of them" if rank > 1 else ""
        raise LayerError(
            f"output_size must be a positive int or None{several}, got {value!r}"
        )
    return tuple(sizes)


def _adaptive_avg_pool(rank: int, x: jax.Array, output_size: OutputSize) -> jax.Array:
    for axis, out in _changes(rank, x, output_size):
        n = x.shape[axis]
        if n % out == 0:
            x = x.reshape(*x.shape[:axis], out, n // out, *x.shape[axis + 1 :])
            x = x.mean(axis + 1)
        else:
            means = [
                jax.lax.slice_in_dim(x, start, end, axis=axis).mean(axis, keepdims=True)
                for start, end in bins_of(n, out)
            ]
            x = jnp.concatenate(means, axis)
    return x


def _adaptive_max_pool(rank: int, x: jax.Array, output_size: OutputSize) -> jax.Array:
    for axis, out in reversed(_changes(rank, x, output_size)):  # ties to the first
        x = largest(x, axis, indices(bins_of(x.shape[axis], out)))
    return x


def _changes(rank: int, x: jax.Array, output_size: OutputSize) -> list[tuple[int, int]]:
    """The axes that change their size, and the new size of each."""
    check_images(x, rank)
    sizes = check_output_size(output_size, rank)
    _refuse_empty(x)
    axes = zip(range(1, rank + 1), sizes, strict=True)
    return [(axis, out) for axis, out in axes if out and out != x.shape[axis]]


def _one_axis(x: jax.Array) -> jax.Array:
    check_floating(x)
    if x.ndim < 3:
        raise LayerError(
            f"expected (batch, ...spatial..., channels), got {shapes_text(x)}"
        )
    _refuse_empty(x)
    return x.reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1])


def _refuse_empty(x: jax.Array) -> None:
    if 0 in x.shape[1:-1]:
        raise LayerError(f"expected images that are not empty, got {shapes_text(x)}")
