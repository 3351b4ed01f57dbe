"""What the pictures accept, and how they refuse the rest."""

import numpy as np
from numpy.typing import ArrayLike

from lenetjax.inspection.figures.drawing import Array


def finite(name: str, values: ArrayLike) -> Array:
    """Passes numbers on, if they are finite."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, and has NaN or infinity in it")
    return array


def class_numbers(name: str, values: ArrayLike) -> Array:
    """Passes class numbers on."""
    array = np.asarray(values)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"{name} must be class numbers, ints (n,), got {array.dtype}{array.shape}; "
            "of logits, take logits.argmax(-1)"
        )
    return array
