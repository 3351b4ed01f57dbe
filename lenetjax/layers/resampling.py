"""Layers that change the size of images without params."""

import jax

from lenetjax import functional
from lenetjax.core import Layer, Params, layer, no_params
from lenetjax.functional.arguments import PerAxis
from lenetjax.functional.resampling import ScaleFactor, check_resampling


def upsample(
    size: PerAxis | None = None,
    *,
    scale_factor: ScaleFactor | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Layer:
    """Resamples images to another size, larger or smaller.

    Args:
      size: the new size, an int or one for each spatial axis.
      scale_factor: instead of a size: by how much to stretch, a number or one for each
        spatial axis.
      mode: "nearest", "nearest-exact", "linear" or "cubic".
      align_corners: whether "linear" and "cubic" map the centres of the corner pixels
        onto each other, rather than the outer edges.

    Input: (batch, ...spatial..., channels), floating, with one spatial axis or more.
    Output: (batch, ...new sizes..., channels).

    Raises:
      LayerError: not exactly one of size and scale_factor is given, or an option is
        unknown; later, x does not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer = nn.upsample(scale_factor=2, mode="linear")
      >>> layer.apply({}, jnp.zeros((8, 5, 5, 3))).shape
      (8, 10, 10, 3)

    Follows `torch.nn.Upsample`, channels last; "linear" is its "linear", "bilinear" and
    "trilinear", and "cubic" its "bicubic".
    """
    check_resampling(size, scale_factor, mode, align_corners)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.upsample(
            x, size, scale_factor=scale_factor, mode=mode, align_corners=align_corners
        )

    settings = {
        "size": size,
        "scale_factor": scale_factor,
        "mode": mode,
        "align_corners": align_corners,
    }
    return layer(upsample, no_params, apply, settings=settings)
