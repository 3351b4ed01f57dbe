"""Transposed convolutions as array functions; they undo a convolution's strides."""

import jax
import jax.numpy as jnp
from jax import lax

from lenetjax.core import LayerError
from lenetjax.functional.arguments import (
    Padding,
    PerAxis,
    check_images,
    padding_spec,
    per_axis,
    same_dtype,
    size,
)
from lenetjax.functional.convolution import LAYOUTS, check_bias, spread
from lenetjax.specs import shapes_text


@jax.named_scope("conv_transpose1d")
def conv_transpose1d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> jax.Array:
    """Spreads each value of sequences over a window: `conv1d`'s gradient in x.

    Args, errors: as in `conv_transpose2d`, with one spatial axis.
      x: (batch, width, in), floating.
      weight: (kernel width, in, out / groups).

    Returns:
      (batch, out width, out), in the dtype that x and weight promote to.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x, weight = jnp.ones((8, 5, 4)), jnp.ones((3, 4, 6))
      >>> nn.functional.conv_transpose1d(x, weight, stride=2).shape
      (8, 11, 6)

    Follows `torch.nn.functional.conv_transpose1d`, channels last.
    """
    options = (stride, padding, output_padding, dilation, groups)
    return _conv_transpose(1, x, weight, bias, *options)


@jax.named_scope("conv_transpose2d")
def conv_transpose2d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> jax.Array:
    """Spreads each value of images over a window: `conv2d`'s gradient in x.

    Args:
      x: images (batch, height, width, in), floating.
      weight: (kernel height, kernel width, in, out / groups).
      bias: (out,), or None.
      stride: the distance between windows in the output, an int or one per axis.
      padding: what is cut off the output's border: the padding of the convolution that
        is undone. An int, an int or (before, after) for each axis; "VALID" cuts
        nothing, "SAME" gives stride times the input's size.
      output_padding: added to the output's size at the end of each axis; less than
        the stride or the dilation.
      dilation: the distance between the taps of a filter.
      groups: channels are split into this many groups, convolved apart.

    Returns:
      (batch, out height, out width, out), in the dtype that x and weight promote to,
      where out height = (height - 1) * stride - padding + dilation *
      (kernel height - 1) + output_padding + 1.

    Raises:
      LayerError: shapes or dtypes do not fit, or nothing of the output is left.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x, weight = jnp.ones((8, 5, 5, 4)), jnp.ones((3, 3, 4, 6))
      >>> nn.functional.conv_transpose2d(x, weight, stride=2).shape
      (8, 11, 11, 6)

    Follows `torch.nn.functional.conv_transpose2d`, channels last; "SAME", which
    PyTorch lacks, follows `jax.lax.conv_transpose`.
    """
    options = (stride, padding, output_padding, dilation, groups)
    return _conv_transpose(2, x, weight, bias, *options)


@jax.named_scope("conv_transpose3d")
def conv_transpose3d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> jax.Array:
    """Spreads each value of volumes over a window: `conv3d`'s gradient in x.

    Args, errors: as in `conv_transpose2d`, with three spatial axes.
      x: (batch, depth, height, width, in), floating.
      weight: (kernel depth, kernel height, kernel width, in, out / groups).

    Returns:
      (batch, out depth, out height, out width, out), in the dtype that x and weight
      promote to.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x, weight = jnp.ones((2, 3, 3, 3, 4)), jnp.ones((2, 2, 2, 4, 6))
      >>> nn.functional.conv_transpose3d(x, weight, stride=2).shape
      (2, 6, 6, 6, 6)

    Follows `torch.nn.functional.conv_transpose3d`, channels last.
    """
    options = (stride, padding, output_padding, dilation, groups)
    return _conv_transpose(3, x, weight, bias, *options)


def _conv_transpose(
    rank: int,
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None,
    stride: PerAxis,
    padding: Padding,
    output_padding: PerAxis,
    dilation: PerAxis,
    groups: int,
) -> jax.Array:
    check_images(x, rank)
    stride = per_axis("stride", stride, rank)
    dilation = per_axis("dilation", dilation, rank)
    extra = output_padding_of(output_padding, stride, dilation)
    _check_weight(x, weight, size("groups", groups))
    features = weight.shape[-1] * groups
    check_bias(bias, features)
    x, weight, bias = same_dtype(x, weight, bias)  # type: ignore[assignment]
    window = spread(weight.shape[:rank], dilation)
    cut = _cut(padding_spec(padding, rank), window, stride)
    borders = tuple(
        (w - 1 - before, w - 1 - after + more)
        for w, (before, after), more in zip(window, cut, extra, strict=True)
    )
    sizes = tuple(
        (n - 1) * s + 1 + sum(border) - w + 1
        for n, s, border, w in zip(x.shape[1:-1], stride, borders, window, strict=True)
    )
    if min(sizes) < 1:
        raise LayerError(
            f"nothing is left of the output: its sizes would be {sizes}; "
            "use less padding, a larger kernel or a larger image"
        )
    y = lax.conv_general_dilated(
        x,
        _turned_round(weight, groups),
        window_strides=(1,) * rank,
        padding=borders,
        lhs_dilation=stride,
        rhs_dilation=dilation,
        dimension_numbers=LAYOUTS[rank],
        feature_group_count=groups,
    )
    return y if bias is None else y + jnp.broadcast_to(bias, y.shape)


def output_padding_of(
    value: PerAxis, stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    """Spells out an output padding.

    Raises:
      LayerError: it is not below the stride or the dilation of its axis.
    """
    extra = per_axis("output_padding", value, len(stride), least=0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise LayerError(
            f"output_padding must be less than the stride or the dilation, got "
            f"output_padding={value!r}, stride={stride}, dilation={dilation}"
        )
    return extra


def _cut(
    padding: tuple[tuple[int, int], ...] | str,
    window: tuple[int, ...],
    stride: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """How much is cut off each border; less than nothing adds zeros."""
    if isinstance(padding, tuple):
        return padding
    if padding == "VALID":
        return ((0, 0),) * len(window)
    total = [w - s for w, s in zip(window, stride, strict=True)]
    return tuple((max(0, t) // 2, t - max(0, t) // 2) for t in total)


def _turned_round(weight: jax.Array, groups: int) -> jax.Array:
    """Makes (..., in, out / groups) into a convolution's (..., in / groups, out)."""
    *taps, channels, features = weight.shape
    weight = jnp.flip(weight, range(len(taps)))
    if groups == 1:
        return weight
    weight = weight.reshape(*taps, groups, channels // groups, features)
    return jnp.moveaxis(weight, -3, -2).reshape(
        *taps, channels // groups, groups * features
    )


def _check_weight(x: jax.Array, weight: jax.Array, groups: int) -> None:
    rank = x.ndim - 2
    if weight.ndim != rank + 2 or weight.shape[-2] % groups:
        raise LayerError(
            f"expected a weight of {rank} kernel axes, in that {groups} divides, and "
            f"out / {groups}, got {shapes_text(weight)}"
        )
    if x.shape[-1] != weight.shape[-2]:
        raise LayerError(
            f"expected {weight.shape[-2]} channels on the last axis, as the weight "
            f"{shapes_text(weight)} has, got {shapes_text(x)}; for images with the "
            "channels first: jnp.moveaxis(x, 1, -1)"
        )
