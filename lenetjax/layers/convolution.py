"""Convolution layers."""

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
from lenetjax.layers.initial import weight_and_bias


def conv2d(
    features: int,
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Slides a bank of learned filters over images (a cross-correlation).

    Args:
      features: the number of filters, which is the number of output channels.
      kernel_size: the filters' height and width, an int or one for each axis.
      stride: the step between windows, an int or one for each axis.
      padding: zeros around the image: an int, an int or (before, after) for each
        axis, "SAME" or "VALID".
      dilation: the distance between the taps of a filter.
      groups: channels are split into this many groups, convolved apart.
      bias: whether to add a bias to each output channel.
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
    size("features", features)
    taps = per_axis("kernel_size", kernel_size, 2)
    per_axis("stride", stride, 2)
    per_axis("dilation", dilation, 2)
    padding_spec(padding, 2)
    if features % size("groups", groups):
        raise LayerError(f"groups={groups} does not divide features={features}")

    def init(key: jax.Array, x: jax.ShapeDtypeStruct) -> Params:
        check_images(x, 2)
        channels = x.shape[-1]
        if channels % groups:
            raise LayerError(f"groups={groups} does not divide {channels} channels")
        shape = (*taps, channels // groups, features)
        return weight_and_bias(key, shape, x.dtype, bias, weight_init, bias_init)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.conv2d(
            x,
            params["weight"],
            params.get("bias"),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )

    settings = {
        "features": features,
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": bias,
    }
    return layer(conv2d, init, apply, settings=settings)
