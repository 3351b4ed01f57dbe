"""Checks of arguments, shared by the functions of this package."""

import numpy as np


def positive_int(name: str, value: object) -> int:
    """Returns the value as an int, or raises ValueError if it is not 1, 2, 3, ..."""
    # True is an int in Python, but nobody means an image of size True.
    if isinstance(value, int | np.integer) and value is not True and value > 0:
        return int(value)
    raise ValueError(f"{name} must be a positive int, got {value!r}")
