"""Changing the size of images, as an array function."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lenetjax.core import LayerError
from lenetjax.functional.arguments import (
    PerAxis,
    check_floating,
    choice,
    is_number,
    per_axis,
)
from lenetjax.specs import shapes_text

MODES = ("nearest", "nearest-exact", "linear", "cubic")
CUBIC = -0.75  # the slope parameter of the cubic kernel; PyTorch's
ScaleFactor = float | Sequence[float]
Taps = tuple[NDArray[np.int64], NDArray[Any]]  # (out, taps): positions and weights


@jax.named_scope("upsample")
def upsample(
    x: jax.Array,
    size: PerAxis | None = None,
    *,
    scale_factor: ScaleFactor | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> jax.Array:
    """Resamples images to another size, larger or smaller.

    Args:
      x: images (batch, ...spatial..., channels), floating, with one spatial axis or
        more.
      size: the new size, an int or one for each spatial axis.
      scale_factor: instead of a size: by how much to stretch, a number or one for each
        spatial axis.
      mode: "nearest" takes the value at the scaled position rounded down,
        "nearest-exact" the one whose centre is nearest; "linear" and "cubic"
        interpolate along each axis.
      align_corners: whether "linear" and "cubic" map the centres of the corner pixels
        onto each other, rather than the outer edges.

    Returns:
      (batch, ...new sizes..., channels), x's dtype.

    Raises:
      LayerError: x has no spatial axis or an empty one, not exactly one of size and
        scale_factor is given, or an option is unknown.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x = jnp.array([0.0, 1.0]).reshape(1, 2, 1)
      >>> nn.functional.upsample(x, 4, mode="linear").ravel()
      Array([0.  , 0.25, 0.75, 1.  ], dtype=float32)

    Follows `torch.nn.functional.interpolate`, channels last; "linear" is its "linear",
    "bilinear" and "trilinear", and "cubic" its "bicubic".
    """
    check_resampling(size, scale_factor, mode, align_corners)
    check_floating(x)
    if x.ndim < 3 or 0 in x.shape[1:-1]:
        raise LayerError(
            "expected (batch, ...spatial..., channels) that is not empty, "
            f"got {shapes_text(x)}"
        )
    rank = x.ndim - 2
    if size is not None:
        sizes = per_axis("size", size, rank)
        steps = [n / out for n, out in zip(x.shape[1:-1], sizes, strict=True)]
    else:
        factors = _factors(scale_factor, rank)
        sizes = tuple(
            math.floor(n * f) for n, f in zip(x.shape[1:-1], factors, strict=True)
        )
        steps = [1 / f for f in factors]
        if 0 in sizes:
            raise LayerError(
                f"scale_factor={scale_factor!r} leaves nothing of {shapes_text(x)}"
            )
    for axis, (out, step) in enumerate(zip(sizes, steps, strict=True), start=1):
        n = x.shape[axis]
        if align_corners:
            step = (n - 1) / (out - 1) if out > 1 else 0.0
        x = _weighted(x, axis, *_taps(n, out, step, mode, align_corners))
    return x


def check_resampling(
    size: PerAxis | None,
    scale_factor: ScaleFactor | None,
    mode: str,
    align_corners: bool,
) -> None:
    """Refuses options of `upsample` that do not go together.

    Raises:
      LayerError: they do not.
    """
    if (size is None) == (scale_factor is None):
        raise LayerError(
            "give either size or scale_factor, "
            f"got size={size!r}, scale_factor={scale_factor!r}"
        )
    if size is not None:
        per_axis("size", size, len(size) if isinstance(size, Sequence) else 1)
    else:
        _factors(
            scale_factor, len(scale_factor) if isinstance(scale_factor, Sequence) else 1
        )
    if choice("mode", mode, MODES).startswith("nearest") and align_corners:
        raise LayerError(f"align_corners has no meaning for mode {mode!r}")


def _factors(scale_factor: ScaleFactor | None, rank: int) -> tuple[float, ...]:
    factors: Any = scale_factor
    if not isinstance(factors, Sequence):
        factors = (factors,) * rank
    if len(factors) != rank or not all(
        is_number(f) and 0 < f < math.inf for f in factors
    ):
        raise LayerError(
            "scale_factor must be a positive number, or one for each of the "
            f"{rank} axes, got {scale_factor!r}"
        )
    return tuple(float(f) for f in factors)


def _taps(n: int, out: int, step: float, mode: str, align_corners: bool) -> Taps:
    """Which of n values go into each of `out` new ones, and with which weights."""
    i = np.arange(out)
    if mode.startswith("nearest"):
        # rounded as in PyTorch, which finds these positions in float32
        offset = 0.5 if mode == "nearest-exact" else 0.0
        at = np.floor((i.astype("float32") + np.float32(offset)) * np.float32(step))
        return np.minimum(at.astype(int), n - 1)[:, None], np.ones((out, 1))
    centres = i * step if align_corners else (i + 0.5) * step - 0.5
    if mode == "linear":
        centres = np.clip(centres, 0, None)
        left = np.floor(centres).astype(int)
        t = centres - left
        positions, weights = [left, left + 1], [1 - t, t]
    else:
        left = np.floor(centres).astype(int)
        t = centres - left
        positions = [left - 1, left, left + 1, left + 2]
        weights = [_far(1 + t), _near(t), _near(1 - t), _far(2 - t)]
    return np.stack(positions, 1).clip(0, n - 1), np.stack(weights, 1)


def _near(t: NDArray[Any]) -> NDArray[Any]:
    """The cubic kernel up to distance 1."""
    return np.asarray(((CUBIC + 2) * t - (CUBIC + 3)) * t * t + 1)


def _far(t: NDArray[Any]) -> NDArray[Any]:
    """The cubic kernel from distance 1 to 2."""
    return np.asarray(((CUBIC * t - 5 * CUBIC) * t + 8 * CUBIC) * t - 4 * CUBIC)


def _weighted(
    x: jax.Array, axis: int, positions: NDArray[np.int64], weights: NDArray[Any]
) -> jax.Array:
    out, taps = positions.shape
    if taps == 1:
        return jnp.take(x, positions[:, 0], axis=axis)
    along = [1] * x.ndim
    along[axis] = out
    y = jnp.zeros((*x.shape[:axis], out, *x.shape[axis + 1 :]), x.dtype)
    for tap in range(taps):
        weight = jnp.asarray(weights[:, tap], x.dtype).reshape(along)
        y = y + weight * jnp.take(x, positions[:, tap], axis=axis)
    return y
