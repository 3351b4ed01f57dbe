"""Padding as an array function. Images are (batch, ...spatial..., channels)."""

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.functional.arguments import Padding, Pads, choice, padding_spec
from lenetjax.specs import shapes_text

# PyTorch's names, and NumPy's for the same
MODES = {
    "constant": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


@jax.named_scope("pad")
def pad(
    x: jax.Array, padding: Padding, *, mode: str = "constant", value: float = 0.0
) -> jax.Array:
    """Widens images at their borders.

    Args:
      x: images (batch, ...spatial..., channels), of any dtype and number of axes.
      padding: an int, or an int or (before, after) for each spatial axis.
      mode: "constant" fills with `value`; "reflect" mirrors at the border value, which
        is not repeated; "replicate" repeats it; "circular" goes on at the other side.
      value: what "constant" fills with.

    Returns:
      (batch, ...padded sizes..., channels), x's dtype.

    Raises:
      LayerError: x has no spatial axis, the padding does not fit it, the mode is
        unknown, or the image is too small to reflect or go round.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x = jnp.array([1, 2, 3]).reshape(1, 3, 1)
      >>> nn.functional.pad(x, [(2, 1)], mode="reflect").ravel()
      Array([3, 2, 1, 2, 3, 2], dtype=int32)

    Follows `torch.nn.functional.pad`, whose padding starts with the last axis.
    """
    if x.ndim < 3:
        raise LayerError(
            f"expected (batch, ...spatial..., channels), got {shapes_text(x)}"
        )
    pads = padding_spec(padding, x.ndim - 2)
    if isinstance(pads, str):
        raise LayerError(f"padding must be given in numbers, got {padding!r}")
    return pad_borders(x, pads, mode, value)


def pad_borders(x: jax.Array, pads: Pads, mode: str, value: float = 0.0) -> jax.Array:
    """Pads the spatial axes of images.

    Raises:
      LayerError: the mode is unknown, or the image is too small for it.
    """
    numpy_mode = MODES[choice("mode", mode, list(MODES))]
    every_axis = ((0, 0), *pads, (0, 0))
    if mode == "constant":
        fill = jnp.asarray(value, x.dtype)
        return jnp.pad(x, every_axis, constant_values=fill)
    largest = {"reflect": -1, "replicate": None, "circular": 0}[mode]
    for n, pair in zip(x.shape[1:-1], pads, strict=True):
        if n == 0 or (largest is not None and max(pair) > n + largest):
            raise LayerError(
                f"cannot pad {n} values by {pair} in mode {mode!r}: "
                "the image is too small; use a larger one or less padding"
            )
    return jnp.pad(x, every_axis, mode=numpy_mode)
