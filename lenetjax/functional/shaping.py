"""Changes of shape as array functions."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.functional.arguments import is_int, size
from lenetjax.specs import shapes_text


@jax.named_scope("flatten")
def flatten(x: jax.Array, start_dim: int = 1, end_dim: int = -1) -> jax.Array:
    """Joins the axes from `start_dim` to `end_dim`, both included, into one.

    Args:
      x: any shape.
      start_dim, end_dim: axes; negative ones count from the end.

    Returns:
      The same values in the same order, with fewer axes. Images (batch, height,
      width, channels) come out with the channel running fastest; in PyTorch, where
      channels come first, the width does.

    Raises:
      LayerError: the axes are not there, or in the wrong order.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.flatten(jnp.ones((8, 6, 6, 16))).shape
      (8, 576)

    Follows `torch.flatten`.
    """
    start = start_dim + x.ndim if start_dim < 0 else start_dim
    end = end_dim + x.ndim if end_dim < 0 else end_dim
    if not 0 <= start <= end < x.ndim:
        raise LayerError(
            f"cannot join the axes {start_dim} to {end_dim} of {shapes_text(x)}"
        )
    joined = math.prod(x.shape[start : end + 1])
    return x.reshape(*x.shape[:start], joined, *x.shape[end + 1 :])


@jax.named_scope("unflatten")
def unflatten(x: jax.Array, dim: int, sizes: Sequence[int]) -> jax.Array:
    """Splits one axis into several.

    Args:
      x: any shape.
      dim: the axis; a negative one counts from the end.
      sizes: the sizes of the new axes; one of them may be -1, for what is left.

    Returns:
      The same values in the same order, with more axes.

    Raises:
      LayerError: the axis is not there, or the sizes do not multiply to its size.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.unflatten(jnp.ones((8, 576)), 1, (6, 6, -1)).shape
      (8, 6, 6, 16)

    Follows `torch.unflatten`.
    """
    axis = dim + x.ndim if dim < 0 else dim
    if not 0 <= axis < x.ndim:
        raise LayerError(f"there is no axis {dim} in {shapes_text(x)}")
    new = filled_in(sizes, x.shape[axis])
    if new is None:
        raise LayerError(
            f"cannot split axis {dim} of {shapes_text(x)} into {tuple(sizes)}"
        )
    return x.reshape(*x.shape[:axis], *new, *x.shape[axis + 1 :])


@jax.named_scope("reshape")
def reshape(x: jax.Array, shape: Sequence[int]) -> jax.Array:
    """Gives each example of a batch another shape.

    Args:
      x: (batch, ...).
      shape: the new shape of an example, without the batch; one of the sizes may be
        -1, for what is left.

    Returns:
      (batch, *shape), the same values in the same order.

    Raises:
      LayerError: x has no batch axis, or the sizes do not multiply to an example's.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.reshape(jnp.ones((8, 576)), (6, 6, -1)).shape
      (8, 6, 6, 16)

    Like `torch.reshape(x, (len(x), *shape))`.
    """
    new = filled_in(shape, math.prod(x.shape[1:])) if x.ndim else None
    if new is None:
        raise LayerError(
            f"cannot give each example of {shapes_text(x)} the shape {tuple(shape)}"
        )
    return x.reshape(*x.shape[:1], *new)


@jax.named_scope("pixel_shuffle")
def pixel_shuffle(x: jax.Array, upscale_factor: int) -> jax.Array:
    """Makes images larger by a factor r out of r * r times as many channels.

    Args:
      x: images (batch, height, width, channels * r * r).
      upscale_factor: r.

    Returns:
      (batch, height * r, width * r, channels), x's dtype. Channel c of the output takes
      the input's channels from c * r * r on, row by row.

    Raises:
      LayerError: x is no batch of images, or r * r does not divide its channels.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.pixel_shuffle(jnp.ones((8, 5, 5, 12)), 2).shape
      (8, 10, 10, 3)

    Reference: Shi et al., "Real-Time Single Image and Video Super-Resolution", 2016.
    Follows `torch.nn.functional.pixel_shuffle`, channels last.
    """
    r = size("upscale_factor", upscale_factor)
    batch, height, width, channels = _image_shape(x)
    if channels % (r * r):
        raise LayerError(f"{r} * {r} does not divide the channels of {shapes_text(x)}")
    x = x.reshape(batch, height, width, channels // (r * r), r, r)
    x = x.transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(batch, height * r, width * r, channels // (r * r))


@jax.named_scope("pixel_unshuffle")
def pixel_unshuffle(x: jax.Array, downscale_factor: int) -> jax.Array:
    """Undoes `pixel_shuffle`: smaller images with r * r times as many channels.

    Args:
      x: images (batch, height, width, channels).
      downscale_factor: r.

    Returns:
      (batch, height / r, width / r, channels * r * r), x's dtype.

    Raises:
      LayerError: x is no batch of images, or r does not divide its height and width.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.pixel_unshuffle(jnp.ones((8, 10, 10, 3)), 2).shape
      (8, 5, 5, 12)

    Follows `torch.nn.functional.pixel_unshuffle`, channels last.
    """
    r = size("downscale_factor", downscale_factor)
    batch, height, width, channels = _image_shape(x)
    if height % r or width % r:
        raise LayerError(f"{r} does not divide height and width of {shapes_text(x)}")
    x = x.reshape(batch, height // r, r, width // r, r, channels)
    x = x.transpose(0, 1, 3, 5, 2, 4)
    return x.reshape(batch, height // r, width // r, channels * r * r)


@jax.named_scope("channel_shuffle")
def channel_shuffle(x: jax.Array, groups: int) -> jax.Array:
    """Deals the channels of each group out over all groups.

    Args:
      x: (batch, ..., channels).
      groups: into how many groups the channels are split.

    Returns:
      x's shape and dtype: the first channel of each group, then the second of each.

    Raises:
      LayerError: x has no channel axis, or groups does not divide the channels.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.channel_shuffle(jnp.arange(6).reshape(1, 6), 2)
      Array([[0, 3, 1, 4, 2, 5]], dtype=int32)

    Reference: Zhang et al., "ShuffleNet", 2018. Follows
    `torch.nn.functional.channel_shuffle`, channels last.
    """
    size("groups", groups)
    if x.ndim < 2 or x.shape[-1] % groups:
        raise LayerError(
            f"expected (batch, ..., channels) with channels that {groups} divides, "
            f"got {shapes_text(x)}"
        )
    split = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    return jnp.moveaxis(split, -2, -1).reshape(x.shape)


def filled_in(sizes: Sequence[int], total: int) -> tuple[int, ...] | None:
    """Puts the number in that -1 stands for; None where the sizes do not fit."""
    known = math.prod(n for n in sizes if n != -1)
    if list(sizes).count(-1) == 1 and known and total % known == 0:
        return tuple(total // known if n == -1 else n for n in sizes)
    return tuple(sizes) if math.prod(sizes) == total and -1 not in sizes else None


def check_sizes(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    """Passes on sizes, of which one may be -1.

    Raises:
      LayerError: they are something else.
    """
    if (
        isinstance(sizes, str)
        or not isinstance(sizes, Sequence)
        or not all(is_int(n) and n >= -1 for n in sizes)
        or list(sizes).count(-1) > 1
    ):
        raise LayerError(f"{name} must be sizes, of which one may be -1, got {sizes!r}")
    return tuple(int(n) for n in sizes)


def _image_shape(x: jax.Array) -> tuple[int, ...]:
    if x.ndim != 4:
        raise LayerError(
            f"expected images (batch, height, width, channels), got {shapes_text(x)}"
        )
    return x.shape
