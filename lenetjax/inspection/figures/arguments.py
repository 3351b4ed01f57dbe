"""What the pictures accept, and how they refuse the rest."""

from collections.abc import Mapping

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


def pixels(images: ArrayLike) -> Array:
    """Images (n, height, width, 1 or 3) on one scale from 0 to 1; gray without axis."""
    pictures = finite("images", images)
    if pictures.ndim != 4 or pictures.shape[-1] not in (1, 3):
        raise ValueError(
            "images must be (n, height, width, channels) with 1 or 3 channels, "
            f"got {pictures.shape}"
        )
    low, high = min(0, pictures.min(initial=0)), max(1, pictures.max(initial=1))
    scaled: Array = (pictures - low) / (high - low)
    return scaled[..., 0] if scaled.shape[-1] == 1 else scaled


def one_for_each(name: str, values: ArrayLike | None, n: int) -> Array | None:
    """Passes on the class numbers of n images, or None."""
    if values is None:
        return None
    numbers = class_numbers(name, values)
    if len(numbers) != n:
        raise ValueError(
            f"{name} must have one entry for each of the {n} images, got {len(numbers)}"
        )
    return numbers


def layers(name: str, values: Mapping[str, ArrayLike], most: int) -> dict[str, Array]:
    """Passes on the arrays of 1 to `most` layers, all finite and not empty."""
    if not isinstance(values, Mapping) or not 1 <= len(values) <= most:
        got = len(values) if isinstance(values, Mapping) else type(values).__name__
        raise ValueError(
            f"{name} must be a dict of arrays by path, from 1 to {most}, got {got}"
        )
    arrays = {str(path): _numbers(name, path, v) for path, v in values.items()}
    if bad := [path for path, a in arrays.items() if not np.isfinite(a).all()]:
        raise ValueError(
            f"{name} must be finite, and have NaN or infinity in {', '.join(bad)}"
        )
    if bad := [path for path, array in arrays.items() if not array.size]:
        raise ValueError(f"{name} must have values, and have none in {', '.join(bad)}")
    return arrays


def _numbers(name: str, path: str, values: ArrayLike) -> Array:
    try:
        return np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be arrays of numbers, got {type(values).__name__} in {path}"
        ) from None


def class_names(
    known: Array | None, guessed: Array | None, n: int
) -> list[tuple[str, bool]]:
    """What stands above each image, and whether it is a mistake."""
    if known is not None and guessed is not None:
        return [
            (f"{guess}", False) if guess == label else (f"{guess}, not {label}", True)
            for guess, label in zip(guessed, known, strict=True)
        ]
    shown = known if known is not None else guessed
    return [("", False)] * n if shown is None else [(f"{c}", False) for c in shown]
