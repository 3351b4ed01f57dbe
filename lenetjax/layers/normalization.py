"""Layers that normalize each example by itself."""

import jax
from jax.nn.initializers import Initializer, ones

from lenetjax import functional
from lenetjax.core import Layer, Params, layer, no_params
from lenetjax.functional.arguments import check_floating, not_negative, per_axis
from lenetjax.functional.normalization import last_axes
from lenetjax.layers.initial import scale_and_shift


def layer_norm(
    *,
    axes: int = 1,
    eps: float = 1e-5,
    affine: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Normalizes the values along the last axes to mean zero and variance one.

    Args:
      axes: how many axes at the end to normalize over.
      eps: added to the variance, so that equal values do not divide by zero.
      affine: whether to scale and shift by learned params afterwards.
      weight_init, bias_init: `jax.nn.initializers`; ones and zeros when None.

    Input: (..., *normalized), floating.
    Output: the same shape and dtype.
    Params: weight (*normalized,), bias (*normalized,); none without affine.

    Raises:
      LayerError: axes is no positive int, or eps negative; later, x has fewer axes.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> tokens = jnp.ones((2, 7, 16))
      >>> params = nn.layer_norm().init(jax.random.key(0), tokens)
      >>> params["weight"].shape, params["bias"].shape
      ((16,), (16,))

    Reference: Ba, Kiros and Hinton, "Layer Normalization", 2016. Follows
    `torch.nn.LayerNorm`, which asks for the sizes where this asks how many axes.
    """
    per_axis("axes", axes, 1)
    not_negative("eps", eps)

    def init(key: jax.Array, x: jax.ShapeDtypeStruct) -> Params:
        shape = tuple(x.shape[axis] for axis in last_axes(x, axes))
        if not affine:
            return {}
        return scale_and_shift(key, shape, x.dtype, weight_init, bias_init)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        weight, bias = params.get("weight"), params.get("bias")
        return functional.layer_norm(x, weight, bias, axes=axes, eps=eps)

    settings = {"axes": axes, "eps": eps, "affine": affine}
    return layer(layer_norm, init, apply, settings=settings)


def rms_norm(
    *,
    axes: int = 1,
    eps: float | None = None,
    affine: bool = True,
    weight_init: Initializer | None = None,
) -> Layer:
    """Divides the values along the last axes by their root mean square.

    Args:
      axes: how many axes at the end to normalize over.
      eps: added to the mean square, so that zeros do not divide by zero. When None,
        the machine epsilon: float64's for float64, float32's otherwise.
      affine: whether to scale by learned params afterwards.
      weight_init: a `jax.nn.initializers`; ones when None.

    Input: (..., *normalized), floating.
    Output: the same shape and dtype.
    Params: weight (*normalized,); none without affine.

    Raises:
      LayerError: axes is no positive int, or eps negative; later, x has fewer axes.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer, x = nn.rms_norm(), jnp.array([[3.0, -3.0]])
      >>> layer.apply(layer.init(jax.random.key(0), x), x)
      Array([[ 1., -1.]], dtype=float32)

    Reference: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019.
    Follows `torch.nn.RMSNorm`, which asks for the sizes where this asks how many axes.
    """
    per_axis("axes", axes, 1)
    if eps is not None:
        not_negative("eps", eps)

    def init(key: jax.Array, x: jax.ShapeDtypeStruct) -> Params:
        shape = tuple(x.shape[axis] for axis in last_axes(x, axes))
        return {"weight": (weight_init or ones)(key, shape, x.dtype)} if affine else {}

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.rms_norm(x, params.get("weight"), axes=axes, eps=eps)

    settings = {"axes": axes, "eps": eps, "affine": affine}
    return layer(rms_norm, init, apply, settings=settings)


def group_norm(
    groups: int,
    *,
    eps: float = 1e-5,
    affine: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Normalizes each example over groups of neighbouring channels and all positions.

    Args:
      groups: how many groups the channels are split into.
      eps: added to the variance, so that a constant group does not divide by zero.
      affine: whether to scale and shift by learned params afterwards.
      weight_init, bias_init: `jax.nn.initializers`; ones and zeros when None.

    Input: (batch, ..., channels), floating.
    Output: the same shape and dtype.
    Params: weight (channels,), bias (channels,); none without affine.

    Raises:
      LayerError: groups is no positive int, or eps negative; later, groups does not
        divide the channels, or a group has a single value.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> images = jnp.ones((8, 4, 4, 6))
      >>> layer = nn.group_norm(3)
      >>> params = layer.init(jax.random.key(0), images)
      >>> params["weight"].shape, layer.apply(params, images).shape
      ((6,), (8, 4, 4, 6))

    Reference: Wu and He, "Group Normalization", 2018. Follows `torch.nn.GroupNorm`,
    channels last.
    """
    per_axis("groups", groups, 1)
    not_negative("eps", eps)

    def init(key: jax.Array, x: jax.ShapeDtypeStruct) -> Params:
        check_floating(x)
        if not affine:
            return {}
        return scale_and_shift(key, x.shape[-1:], x.dtype, weight_init, bias_init)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        weight, bias = params.get("weight"), params.get("bias")
        return functional.group_norm(x, groups, weight, bias, eps=eps)

    settings = {"groups": groups, "eps": eps, "affine": affine}
    return layer(group_norm, init, apply, settings=settings)


def instance_norm(
    *,
    eps: float = 1e-5,
    affine: bool = False,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Normalizes each channel of each example over all positions.

    It keeps no running statistics, and works alike in training and evaluation.

    Args:
      eps: added to the variance, so that a constant channel does not divide by zero.
      affine: whether to scale and shift by learned params afterwards.
      weight_init, bias_init: `jax.nn.initializers`; ones and zeros when None.

    Input: (batch, ..., channels) with at least one axis of positions, floating.
    Output: the same shape and dtype.
    Params: none; with affine, weight (channels,) and bias (channels,).

    Raises:
      LayerError: eps is negative; later, there is a single position.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.instance_norm(eps=0.0).apply({}, jnp.array([[[1.0], [3.0]]]))
      Array([[[-1.],
              [ 1.]]], dtype=float32)

    Reference: Ulyanov et al., "Instance Normalization", 2016. Follows
    `torch.nn.InstanceNorm2d` with its defaults, channels last.
    """
    not_negative("eps", eps)

    def init(key: jax.Array, x: jax.ShapeDtypeStruct) -> Params:
        check_floating(x)
        if not affine:
            return {}
        return scale_and_shift(key, x.shape[-1:], x.dtype, weight_init, bias_init)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        weight, bias = params.get("weight"), params.get("bias")
        return functional.instance_norm(x, weight, bias, eps=eps)

    settings = {"eps": eps, "affine": affine}
    return layer(instance_norm, init, apply, settings=settings)


def local_response_norm(
    size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Layer:
    """Divides each value by the strength of the same place in neighbouring channels.

    That is ``(k + alpha * mean(neighbours ** 2)) ** beta``, where the neighbours are
    `size` channels around the value's own, and zero beyond the first and last one.

    Args:
      size: how many channels; of an even number, one more lies before than after.
      alpha, beta, k: as above.

    Input: (..., channels), floating.
    Output: the same shape and dtype.
    Params: none.

    Raises:
      LayerError: size is no positive int, or another setting is negative.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer = nn.local_response_norm(2, alpha=2.0, beta=1.0, k=0.0)
      >>> layer.apply({}, jnp.array([2.0, 2.0, 0.0]))
      Array([0.5 , 0.25, 0.  ], dtype=float32)

    Reference: Krizhevsky et al., "ImageNet Classification with Deep Convolutional
    Neural Networks", 2012, whose sum is PyTorch's mean. Follows
    `torch.nn.LocalResponseNorm`, channels last, with any axes before.
    """
    per_axis("size", size, 1)
    options = {"alpha": alpha, "beta": beta, "k": k}
    for name, value in options.items():
        not_negative(name, value)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.local_response_norm(x, size, alpha=alpha, beta=beta, k=k)

    settings = {"size": size, **options}
    return layer(local_response_norm, no_params, apply, settings=settings)
