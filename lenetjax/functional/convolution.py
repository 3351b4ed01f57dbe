"""Convolutions as array functions. Images are (batch, ...spatial..., channels)."""

import jax
import jax.numpy as jnp
from jax import lax

from lenetjax.core import LayerError
from lenetjax.functional.arguments import (
    Padding,
    PerAxis,
    check_images,
    check_window,
    padding_spec,
    pads_of,
    per_axis,
    same_dtype,
    size,
)
from lenetjax.specs import shapes_text

LAYOUTS = {
    1: ("NWC", "WIO", "NWC"),
    2: ("NHWC", "HWIO", "NHWC"),
    3: ("NDHWC", "DHWIO", "NDHWC"),
}


def conv2d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> jax.Array:
    """Slides a bank of filters over images (a cross-correlation, as in PyTorch).

    Args:
      x: images (batch, height, width, in), floating.
      weight: (kernel height, kernel width, in / groups, out).
      bias: (out,), or None.
      stride: the step between windows, an int or one for each axis.
      padding: zeros around the image: an int, an int or (before, after) for each
        axis, "SAME" or "VALID".
      dilation: the distance between the taps of a filter.
      groups: channels are split into this many groups, convolved apart.

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

    Follows `torch.nn.functional.conv2d`, channels last.
    """
    return _conv(2, x, weight, bias, stride, padding, dilation, groups)


def _conv(
    rank: int,
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None,
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    groups: int,
) -> jax.Array:
    check_images(x, rank)
    stride = per_axis("stride", stride, rank)
    dilation = per_axis("dilation", dilation, rank)
    _check_weight(x, weight, bias, size("groups", groups))
    x, weight, bias = same_dtype(x, weight, bias)  # type: ignore[assignment]
    taps = weight.shape[:rank]
    window = [d * (k - 1) + 1 for d, k in zip(dilation, taps, strict=True)]
    sizes = x.shape[1:-1]
    pads = pads_of(padding_spec(padding, rank), sizes, window, stride)
    check_window(sizes, window, pads, "kernel")
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
    if bias is not None and bias.shape != weight.shape[-1:]:
        raise LayerError(
            f"expected a bias {weight.shape[-1:]}, got {shapes_text(bias)}"
        )
