"""Convolutions as array functions. Images are (batch, ...spatial..., channels)."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from lenetjax.core import LayerError
from lenetjax.functional.arguments import (
    Padding,
    Pads,
    PerAxis,
    check_images,
    check_window,
    choice,
    padding_spec,
    pads_of,
    per_axis,
    same_dtype,
    size,
)
from lenetjax.functional.columns import convolve_columns, convolve_rows
from lenetjax.functional.fast_paths import columns_are_faster, rows_are_faster
from lenetjax.functional.padding import pad_borders
from lenetjax.specs import shapes_text

LAYOUTS = {
    1: ("NWC", "WIO", "NWC"),
    2: ("NHWC", "HWIO", "NHWC"),
    3: ("NDHWC", "DHWIO", "NDHWC"),
}
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


@jax.named_scope("conv1d")
def conv1d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> jax.Array:
    """Slides a bank of filters over sequences (a cross-correlation, as in PyTorch).

    Args, errors: as in `conv2d`, with one spatial axis.
      x: (batch, width, in), floating.
      weight: (kernel width, in / groups, out).

    Returns:
      (batch, out width, out), in the dtype that x and weight promote to.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.functional.conv1d(jnp.ones((8, 30, 4)), jnp.ones((3, 4, 6))).shape
      (8, 28, 6)

    Follows `torch.nn.functional.conv1d`, channels last.
    """
    return _conv(1, x, weight, bias, stride, padding, dilation, groups, padding_mode)


@jax.named_scope("conv2d")
def conv2d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> jax.Array:
    """Slides a bank of filters over images (a cross-correlation, as in PyTorch).

    Args:
      x: images (batch, height, width, in), floating.
      weight: (kernel height, kernel width, in / groups, out).
      bias: (out,), or None.
      stride: the step between windows, an int or one for each axis.
      padding: what is added around the image: an int, an int or (before, after) for
        each axis, "SAME" or "VALID".
      dilation: the distance between the taps of a filter.
      groups: channels are split into this many groups, convolved apart.
      padding_mode: what to add: "zeros", or "reflect", "replicate", "circular" as in
        `pad`.

    Returns:
      (batch, out height, out width, out), in the dtype that x and weight promote to,
      where out height = (height + padding - dilation * (kernel height - 1) - 1)
      // stride + 1.

    Raises:
      LayerError: shapes or dtypes do not fit, or the kernel is larger than the image.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> images, weight = jnp.ones((8, 32, 32, 1)), jnp.ones((3, 3, 1, 6))
      >>> nn.functional.conv2d(images, weight, stride=2, padding=1).shape
      (8, 16, 16, 6)

    Follows `torch.nn.functional.conv2d`, channels last; "SAME" with a stride, which
    PyTorch lacks, follows `jax.lax`.
    """
    return _conv(2, x, weight, bias, stride, padding, dilation, groups, padding_mode)


@jax.named_scope("conv3d")
def conv3d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> jax.Array:
    """Slides a bank of filters over volumes (a cross-correlation, as in PyTorch).

    Args, errors: as in `conv2d`, with three spatial axes.
      x: (batch, depth, height, width, in), floating.
      weight: (kernel depth, kernel height, kernel width, in / groups, out).

    Returns:
      (batch, out depth, out height, out width, out), in the dtype that x and weight
      promote to.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> weight = jnp.ones((3, 3, 3, 1, 6))
      >>> nn.functional.conv3d(jnp.ones((2, 5, 8, 8, 1)), weight).shape
      (2, 3, 6, 6, 6)

    Follows `torch.nn.functional.conv3d`, channels last.
    """
    return _conv(3, x, weight, bias, stride, padding, dilation, groups, padding_mode)


def _conv(
    rank: int,
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None,
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    groups: int,
    padding_mode: str,
) -> jax.Array:
    check_images(x, rank)
    stride = per_axis("stride", stride, rank)
    dilation = per_axis("dilation", dilation, rank)
    choice("padding_mode", padding_mode, PADDING_MODES)
    _check_weight(x, weight, bias, size("groups", groups))
    x, weight, bias = same_dtype(x, weight, bias)  # type: ignore[assignment]
    window = spread(weight.shape[:rank], dilation)
    sizes = x.shape[1:-1]
    pads = pads_of(padding_spec(padding, rank), sizes, window, stride)
    check_window(sizes, window, pads, "kernel")
    if padding_mode != "zeros":
        x, pads = pad_borders(x, pads, padding_mode), ((0, 0),) * rank
    if columns_are_faster(x, weight, groups):
        return jnp.asarray(convolve_columns(x, weight, bias, stride, pads, dilation))
    if rows_are_faster(x, weight, _places(x, window, stride, pads), groups):
        return jnp.asarray(convolve_rows(x, weight, bias, stride, pads, dilation))
    y = lax.conv_general_dilated(
        x,
        weight,
        window_strides=stride,
        padding=pads,
        rhs_dilation=dilation,
        dimension_numbers=LAYOUTS[rank],
        feature_group_count=groups,
    )
    return y if bias is None else y + jnp.broadcast_to(bias, y.shape)


def _places(
    x: jax.Array, window: tuple[int, ...], stride: tuple[int, ...], pads: Pads
) -> int:
    """To how many places a window goes: the pixels of the output."""
    along = zip(x.shape[1:-1], window, stride, pads, strict=True)
    return math.prod((n + sum(pad) - k) // s + 1 for n, k, s, pad in along)


def spread(taps: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """The size of a dilated window."""
    return tuple(d * (k - 1) + 1 for d, k in zip(dilation, taps, strict=True))


def _check_weight(
    x: jax.Array, weight: jax.Array, bias: jax.Array | None, groups: int
) -> None:
    rank = x.ndim - 2
    if weight.ndim != rank + 2 or weight.shape[-1] % groups:
        raise LayerError(
            f"expected a weight of {rank} kernel axes, in / {groups}, and out that "
            f"{groups} divides, got {shapes_text(weight)}"
        )
    if x.shape[-1] != weight.shape[-2] * groups:
        raise LayerError(
            f"expected {weight.shape[-2] * groups} channels on the last axis, as the "
            f"weight {shapes_text(weight)} has, got {shapes_text(x)}; for images with "
            "the channels first: jnp.moveaxis(x, 1, -1)"
        )
    check_bias(bias, weight.shape[-1])


def check_bias(bias: jax.Array | None, features: int) -> None:
    """Refuses a bias that is no vector of one value per output channel.

    Raises:
      LayerError: its shape is another.
    """
    if bias is not None and bias.shape != (features,):
        raise LayerError(f"expected a bias ({features},), got {shapes_text(bias)}")
