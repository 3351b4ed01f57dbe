"""Transposed convolution layers, which undo the strides of convolutions."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.nn.initializers import Initializer

from lenetjax import functional
from lenetjax.core import Layer, LayerError, Params, layer
from lenetjax.functional.arguments import (
    Padding,
    PerAxis,
    check_images,
    padding_spec,
    per_axis,
    size,
)
from lenetjax.functional.transposed_convolution import output_padding_of
from lenetjax.layers.initial import weight_and_bias


def conv_transpose1d(
    features: int,
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Spreads each value of sequences over a learned window.

    Arguments and errors are those of `conv_transpose2d`, with one spatial axis.

    Input: (batch, width, in), floating.
    Output: (batch, out width, features).
    Params: weight (kernel width, in, features / groups);
      bias (features,); in x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer = nn.conv_transpose1d(6, 3, stride=2)
      >>> params = layer.init(jax.random.key(0), jnp.zeros((8, 5, 4)))
      >>> layer.apply(params, jnp.zeros((8, 5, 4))).shape
      (8, 11, 6)

    Follows `torch.nn.ConvTranspose1d`, channels last.
    """
    return _conv_transpose(
        1,
        conv_transpose1d,
        functional.conv_transpose1d,
        features,
        kernel_size,
        {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "dilation": dilation,
            "groups": groups,
        },
        bias,
        weight_init,
        bias_init,
    )


def conv_transpose2d(
    features: int,
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Spreads each value of images over a learned window: `conv2d`'s gradient in x.

    Args:
      features: the number of output channels.
      kernel_size: the windows' height and width, an int or one for each axis.
      stride: the distance between windows in the output, an int or one per axis.
      padding: what is cut off the output's border: an int, an int or (before, after)
        for each axis; "VALID" cuts nothing, "SAME" gives stride times the input's size.
      output_padding: added to the output's size at the end of each axis; less than
        the stride or the dilation.
      dilation: the distance between the taps of a window.
      groups: channels are split into this many groups, convolved apart.
      bias: whether to add a bias to each output channel.
      weight_init, bias_init: `jax.nn.initializers`; PyTorch's uniform in ±1/sqrt(fan)
        when None, with fan = kernel height * kernel width * features / groups.

    Input: (batch, height, width, in), floating.
    Output: (batch, out height, out width, features), where out height = (height - 1) *
      stride - padding + dilation * (kernel height - 1) + output_padding + 1.
    Params: weight (kernel height, kernel width, in, features / groups);
      bias (features,); in x's dtype.

    Raises:
      LayerError: a size is not positive, groups does not divide the features, or
        output_padding is too large; later, x does not fit, or no output is left.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer = nn.conv_transpose2d(6, 3, stride=2)
      >>> params = layer.init(jax.random.key(0), jnp.zeros((8, 5, 5, 4)))
      >>> layer.apply(params, jnp.zeros((8, 5, 5, 4))).shape
      (8, 11, 11, 6)

    Follows `torch.nn.ConvTranspose2d`, channels last.
    """
    return _conv_transpose(
        2,
        conv_transpose2d,
        functional.conv_transpose2d,
        features,
        kernel_size,
        {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "dilation": dilation,
            "groups": groups,
        },
        bias,
        weight_init,
        bias_init,
    )


def conv_transpose3d(
    features: int,
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Spreads each value of volumes over a learned window.

    Arguments and errors are those of `conv_transpose2d`, with three spatial axes.

    Input: (batch, depth, height, width, in), floating.
    Output: (batch, out depth, out height, out width, features).
    Params: weight (kernel depth, kernel height, kernel width, in, features / groups);
      bias (features,); in x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer = nn.conv_transpose3d(6, 2, stride=2)
      >>> params = layer.init(jax.random.key(0), jnp.zeros((2, 3, 3, 3, 4)))
      >>> layer.apply(params, jnp.zeros((2, 3, 3, 3, 4))).shape
      (2, 6, 6, 6, 6)

    Follows `torch.nn.ConvTranspose3d`, channels last.
    """
    return _conv_transpose(
        3,
        conv_transpose3d,
        functional.conv_transpose3d,
        features,
        kernel_size,
        {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "dilation": dilation,
            "groups": groups,
        },
        bias,
        weight_init,
        bias_init,
    )


def _conv_transpose(
    rank: int,
    constructor: Callable[..., Layer],
    convolve: Callable[..., jax.Array],
    features: int,
    kernel_size: PerAxis,
    options: Mapping[str, Any],
    bias: bool,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
) -> Layer:
    size("features", features)
    taps = per_axis("kernel_size", kernel_size, rank)
    stride = per_axis("stride", options["stride"], rank)
    dilation = per_axis("dilation", options["dilation"], rank)
    output_padding_of(options["output_padding"], stride, dilation)
    padding_spec(options["padding"], rank)
    groups = size("groups", options["groups"])
    if features % groups:
        raise LayerError(f"groups={groups} does not divide features={features}")

    def init(key: jax.Array, x: jax.ShapeDtypeStruct) -> Params:
        check_images(x, rank)
        channels = x.shape[-1]
        if channels % groups:
            raise LayerError(f"groups={groups} does not divide {channels} channels")
        shape = (*taps, channels, features // groups)
        fan = math.prod(taps) * (features // groups)  # as PyTorch counts it
        return weight_and_bias(
            key,
            shape,
            x.dtype,
            bias,
            weight_init,
            bias_init,
            fan_in=fan,
            features=features,
        )

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return convolve(x, params["weight"], params.get("bias"), **options)

    settings = {"features": features, "kernel_size": kernel_size, "bias": bias}
    return layer(constructor, init, apply, settings=settings | dict(options))
