"""Layers that change the shape and nothing else."""

from collections.abc import Sequence

import jax

from lenetjax import functional
from lenetjax.core import Layer, LayerError, Params, layer, no_params
from lenetjax.functional.arguments import Padding, choice, padding_spec, size
from lenetjax.functional.padding import MODES
from lenetjax.functional.shaping import check_sizes
from lenetjax.specs import shapes_text


def flatten(start_dim: int = 1, end_dim: int = -1) -> Layer:
    """Joins the axes from `start_dim` to `end_dim`, both included, into one.

    Args:
      start_dim, end_dim: axes; negative ones count from the end.

    Input: any shape, such as (batch, height, width, channels).
    Output: the same values, such as (batch, height * width * channels), with the
      channel running fastest (in PyTorch, channels first, the width does).

    Raises:
      LayerError: on use, the axes are not there.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.flatten().apply({}, jnp.zeros((8, 6, 6, 16))).shape
      (8, 576)

    Follows `torch.nn.Flatten`.
    """

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.flatten(x, start_dim, end_dim)

    settings = {"start_dim": start_dim, "end_dim": end_dim}
    return layer(flatten, no_params, apply, settings=settings)


def unflatten(dim: int, sizes: Sequence[int]) -> Layer:
    """Splits one axis into several.

    Args:
      dim: the axis; a negative one counts from the end.
      sizes: the sizes of the new axes; one of them may be -1, for what is left.

    Input: any shape, such as (batch, height * width * channels).
    Output: the same values in the same order, such as (batch, height, width, channels).

    Raises:
      LayerError: the sizes are none; later, they do not fit the axis.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.unflatten(1, (6, 6, -1)).apply({}, jnp.zeros((8, 576))).shape
      (8, 6, 6, 16)

    Follows `torch.nn.Unflatten`.
    """
    check_sizes("sizes", sizes)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.unflatten(x, dim, sizes)

    settings = {"dim": dim, "sizes": sizes}
    return layer(unflatten, no_params, apply, settings=settings)


def reshape(shape: Sequence[int]) -> Layer:
    """Gives each example of a batch another shape.

    Args:
      shape: the new shape of an example, without the batch; one of the sizes may be
        -1, for what is left.

    Input: (batch, ...).
    Output: (batch, *shape), the same values in the same order.

    Raises:
      LayerError: the sizes are none; later, they do not fit x.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.reshape((6, 6, -1)).apply({}, jnp.zeros((8, 576))).shape
      (8, 6, 6, 16)

    Like `torch.reshape(x, (len(x), *shape))`.
    """
    check_sizes("shape", shape)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.reshape(x, shape)

    return layer(reshape, no_params, apply, settings={"shape": shape})


def transpose(axes: Sequence[int]) -> Layer:
    """Puts the axes into another order.

    Args:
      axes: for each axis of the output, which axis of the input it is, the batch's 0
        included: ``(0, 3, 1, 2)`` puts the channels first.

    Input: as many axes as there are numbers.
    Output: the same values, with the axes in that order.

    Raises:
      LayerError: axes is no permutation; later, x has another number of axes.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.transpose((0, 3, 1, 2)).apply({}, jnp.zeros((8, 5, 6, 3))).shape
      (8, 3, 5, 6)

    Follows `jax.numpy.transpose` and `torch.permute`.
    """
    order = tuple(axes) if isinstance(axes, Sequence) else ()
    if not order or sorted(order) != list(range(len(order))):
        raise LayerError(f"axes must be the numbers from 0 on, each once, got {axes!r}")

    def apply(params: Params, x: jax.Array) -> jax.Array:
        if x.ndim != len(order):
            raise LayerError(f"expected {len(order)} axes, got {shapes_text(x)}")
        return x.transpose(order)

    return layer(transpose, no_params, apply, settings={"axes": axes})


def pad(padding: Padding, *, mode: str = "constant", value: float = 0.0) -> Layer:
    """Widens images at their borders.

    Args:
      padding: an int, or an int or (before, after) for each spatial axis.
      mode: "constant" fills with `value`; "reflect" mirrors at the border value, which
        is not repeated; "replicate" repeats it; "circular" goes on at the other side.
      value: what "constant" fills with.

    Input: (batch, ...spatial..., channels).
    Output: (batch, ...padded sizes..., channels).

    Raises:
      LayerError: the padding or the mode is none; later, x is too small for it.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.pad(2, mode="reflect").apply({}, jnp.zeros((8, 28, 28, 1))).shape
      (8, 32, 32, 1)

    Follows `torch.nn.ZeroPad2d`, `ConstantPad2d`, `ReflectionPad2d`,
    `ReplicationPad2d` and `CircularPad2d`, for any number of axes; theirs start with
    the last one.
    """
    choice("mode", mode, list(MODES))
    rank = len(padding) if isinstance(padding, Sequence) else 1
    if isinstance(padding_spec(padding, rank), str):
        raise LayerError(f"padding must be given in numbers, got {padding!r}")

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.pad(x, padding, mode=mode, value=value)

    settings = {"padding": padding, "mode": mode, "value": value}
    return layer(pad, no_params, apply, settings=settings)


def pixel_shuffle(upscale_factor: int) -> Layer:
    """Makes images larger by a factor r out of r * r times as many channels.

    Args:
      upscale_factor: r.

    Input: (batch, height, width, channels * r * r).
    Output: (batch, height * r, width * r, channels).

    Raises:
      LayerError: r is not positive; later, r * r does not divide the channels.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.pixel_shuffle(2).apply({}, jnp.zeros((8, 5, 5, 12))).shape
      (8, 10, 10, 3)

    Reference: Shi et al., "Real-Time Single Image and Video Super-Resolution", 2016.
    Follows `torch.nn.PixelShuffle`, channels last.
    """
    size("upscale_factor", upscale_factor)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.pixel_shuffle(x, upscale_factor)

    settings = {"upscale_factor": upscale_factor}
    return layer(pixel_shuffle, no_params, apply, settings=settings)


def pixel_unshuffle(downscale_factor: int) -> Layer:
    """Undoes `pixel_shuffle`: smaller images with r * r times as many channels.

    Args:
      downscale_factor: r.

    Input: (batch, height, width, channels).
    Output: (batch, height / r, width / r, channels * r * r).

    Raises:
      LayerError: r is not positive; later, r does not divide height and width.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.pixel_unshuffle(2).apply({}, jnp.zeros((8, 10, 10, 3))).shape
      (8, 5, 5, 12)

    Follows `torch.nn.PixelUnshuffle`, channels last.
    """
    size("downscale_factor", downscale_factor)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.pixel_unshuffle(x, downscale_factor)

    settings = {"downscale_factor": downscale_factor}
    return layer(pixel_unshuffle, no_params, apply, settings=settings)


def channel_shuffle(groups: int) -> Layer:
    """Deals the channels of each group out over all groups.

    Args:
      groups: into how many groups the channels are split.

    Input: (batch, ..., channels).
    Output: the same shape: the first channel of each group, then the second of each.

    Raises:
      LayerError: groups is not positive; later, it does not divide the channels.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.channel_shuffle(2).apply({}, jnp.arange(6).reshape(1, 6))
      Array([[0, 3, 1, 4, 2, 5]], dtype=int32)

    Reference: Zhang et al., "ShuffleNet", 2018. Follows `torch.nn.ChannelShuffle`,
    channels last.
    """
    size("groups", groups)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.channel_shuffle(x, groups)

    return layer(channel_shuffle, no_params, apply, settings={"groups": groups})
