"""Convolution layers."""

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
    choice,
    padding_spec,
    per_axis,
    size,
)
from lenetjax.functional.convolution import PADDING_MODES
from lenetjax.layers.initial import weight_and_bias


def conv1d(
    features: int,
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: str = "zeros",
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Slides a bank of learned filters over sequences (a cross-correlation).

    Arguments and errors are those of `conv2d`, with one spatial axis.

    Input: (batch, width, in), floating.
    Output: (batch, out width, features).
    Params: weight (kernel width, in / groups, features);
      bias (features,); in x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer = nn.conv1d(6, 3)
      >>> params = layer.init(jax.random.key(0), jnp.zeros((8, 30, 4)))
      >>> layer.apply(params, jnp.zeros((8, 30, 4))).shape
      (8, 28, 6)

    Follows `torch.nn.Conv1d`, channels last.
    """
    return _conv(
        1,
        conv1d,
        functional.conv1d,
        features,
        kernel_size,
        {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "padding_mode": padding_mode,
        },
        bias,
        weight_init,
        bias_init,
    )


def conv2d(
    features: int,
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: str = "zeros",
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Slides a bank of learned filters over images (a cross-correlation).

    Args:
      features: the number of filters, which is the number of output channels.
      kernel_size: the filters' height and width, an int or one for each axis.
      stride: the step between windows, an int or one for each axis.
      padding: what is added around the image: an int, an int or (before, after) for
        each axis, "SAME" or "VALID".
      dilation: the distance between the taps of a filter.
      groups: channels are split into this many groups, convolved apart; as many groups
        as channels make a depthwise convolution.
      bias: whether to add a bias to each output channel.
      padding_mode: what to add: "zeros", or "reflect", "replicate", "circular" as in
        `pad`.
      weight_init, bias_init: `jax.nn.initializers`; PyTorch's uniform in
        ±1/sqrt(fan_in) when None.

    Input: (batch, height, width, in), floating.
    Output: (batch, out height, out width, features), where out height =
      (height + padding - dilation * (kernel height - 1) - 1) // stride + 1.
    Params: weight (kernel height, kernel width, in / groups, features);
      bias (features,); in x's dtype.

    Raises:
      LayerError: a size is not positive, or groups does not divide the features;
        later, x does not fit, or the kernel is larger than the image.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> images = jnp.zeros((8, 32, 32, 1))
      >>> layer = nn.conv2d(6, 3)
      >>> params = layer.init(jax.random.key(0), images)
      >>> params["weight"].shape, layer.apply(params, images).shape
      ((3, 3, 1, 6), (8, 30, 30, 6))

    Follows `torch.nn.Conv2d`, channels last.
    """
    return _conv(
        2,
        conv2d,
        functional.conv2d,
        features,
        kernel_size,
        {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "padding_mode": padding_mode,
        },
        bias,
        weight_init,
        bias_init,
    )


def conv3d(
    features: int,
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: str = "zeros",
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Slides a bank of learned filters over volumes (a cross-correlation).

    Arguments and errors are those of `conv2d`, with three spatial axes.

    Input: (batch, depth, height, width, in), floating.
    Output: (batch, out depth, out height, out width, features).
    Params: weight (kernel depth, kernel height, kernel width, in / groups, features);
      bias (features,); in x's dtype.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer = nn.conv3d(6, 3)
      >>> params = layer.init(jax.random.key(0), jnp.zeros((2, 5, 8, 8, 1)))
      >>> layer.apply(params, jnp.zeros((2, 5, 8, 8, 1))).shape
      (2, 3, 6, 6, 6)

    Follows `torch.nn.Conv3d`, channels last.
    """
    return _conv(
        3,
        conv3d,
        functional.conv3d,
        features,
        kernel_size,
        {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "padding_mode": padding_mode,
        },
        bias,
        weight_init,
        bias_init,
    )


def _conv(
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
    per_axis("stride", options["stride"], rank)
    per_axis("dilation", options["dilation"], rank)
    padding_spec(options["padding"], rank)
    choice("padding_mode", options["padding_mode"], PADDING_MODES)
    groups = size("groups", options["groups"])
    if features % groups:
        raise LayerError(f"groups={groups} does not divide features={features}")

    def init(key: jax.Array, x: jax.ShapeDtypeStruct) -> Params:
        check_images(x, rank)
        channels = x.shape[-1]
        if channels % groups:
            raise LayerError(f"groups={groups} does not divide {channels} channels")
        shape = (*taps, channels // groups, features)
        return weight_and_bias(key, shape, x.dtype, bias, weight_init, bias_init)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return convolve(x, params["weight"], params.get("bias"), **options)

    settings = {"features": features, "kernel_size": kernel_size, "bias": bias}
    return layer(constructor, init, apply, settings=settings | dict(options))
