"""Normalization over the batch."""

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from lenetjax import functional
from lenetjax.core import Layer, LayerError, Params, State, layer
from lenetjax.functional.arguments import check_floating, fraction, not_negative
from lenetjax.functional.batch_normalization import values_per_channel
from lenetjax.layers.initial import scale_and_shift


def batch_norm(
    *,
    momentum: float = 0.1,
    eps: float = 1e-5,
    affine: bool = True,
    axis_name: str | None = None,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Normalizes each channel to mean zero and variance one over the batch.

    In training the statistics are the batch's, and a running average of them goes
    into the new state. In evaluation the running average is used, so that the output
    for one example does not depend on its neighbours.

    Args:
      momentum: the weight of the *new* batch in the running average, from 0 to 1.
      eps: added to the variance, so that a constant channel does not divide by zero.
      affine: whether to scale and shift by learned params afterwards.
      axis_name: in training, the axis of the surrounding `jax.vmap` or `jax.shard_map`
        along which the batch is split over devices, in equal parts; the statistics
        are the whole batch's. Without it each part has its own.
      weight_init, bias_init: `jax.nn.initializers`; ones and zeros when None.

    Input: (batch, ..., channels), floating.
    Output: the same shape and dtype.
    Params: weight (channels,), starts at one; bias (channels,), starts at zero; none
      without affine.
    State: mean (channels,), starts at zero; var (channels,), starts at one; at least
      float32. As in PyTorch the running variance is the unbiased one, and the
      variance that training divides by is not.

    Raises:
      LayerError: momentum is out of range, or eps negative; in training, the batch
        has a single value per channel, or there is no axis of that name.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> images = jnp.ones((8, 4, 4, 3))
      >>> layer = nn.batch_norm()
      >>> params, state = layer.init_with_state(jax.random.key(0), images)
      >>> y, state = layer.apply_with_state(params, state, images, train=True)
      >>> state["mean"]
      Array([0.1, 0.1, 0.1], dtype=float32)

    Reference: Ioffe and Szegedy, "Batch Normalization", 2015. Follows
    `torch.nn.BatchNorm2d`, and with an axis_name `torch.nn.SyncBatchNorm`.
    """
    fraction("momentum", momentum)
    not_negative("eps", eps)
    if not (axis_name is None or isinstance(axis_name, str)):
        raise LayerError(f"axis_name must be a str or None, got {axis_name!r}")

    def init(key: jax.Array, x: jax.ShapeDtypeStruct) -> tuple[Params, State]:
        check_floating(x)
        channels = x.shape[-1:]
        params: Params = {}
        if affine:
            params = scale_and_shift(key, channels, x.dtype, weight_init, bias_init)
        at_least_float32 = jnp.promote_types(x.dtype, jnp.float32)
        state = {
            "mean": jnp.zeros(channels, at_least_float32),
            "var": jnp.ones(channels, at_least_float32),
        }
        return params, state

    def apply(
        params: Params, x: jax.Array, *, state: State, train: bool
    ) -> tuple[jax.Array, State]:
        mean, var = state["mean"], state["var"]
        if train:
            mean, var = functional.batch_statistics(x, axis_name=axis_name)
            values = values_per_channel(x, axis_name)
            state = {
                "mean": _average(state["mean"], mean, momentum),
                "var": _average(state["var"], var * (values / (values - 1)), momentum),
            }
        weight, bias = params.get("weight"), params.get("bias")
        return functional.batch_norm(x, mean, var, weight, bias, eps=eps), state

    settings = {
        "momentum": momentum,
        "eps": eps,
        "affine": affine,
        "axis_name": axis_name,
    }
    return layer(batch_norm, init, apply, settings=settings)


def _average(old: jax.Array, new: jax.Array, momentum: float) -> jax.Array:
    return ((1 - momentum) * old + momentum * new).astype(old.dtype)
