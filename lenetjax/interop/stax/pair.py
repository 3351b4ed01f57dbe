"""What a stax layer is, and what its messages say of shapes."""

from collections.abc import Callable
from typing import Any

from lenetjax.core import LayerError

Pair = tuple[Callable[..., Any], Callable[..., Any]]  # (init_fun, apply_fun)
Shape = Any  # a tuple of ints, or a list of such shapes


def shape_of(inputs: Any) -> Shape:
    """The shape of an array, or a list of the shapes of several."""
    if isinstance(inputs, (tuple, list)):
        return [shape_of(entry) for entry in inputs]
    return inputs.shape


def refuse_rank(name: str, layout: str, shape: Shape) -> None:
    """Refuses an input shape with another number of axes than a layout's letters."""
    if not isinstance(shape, (tuple, list)) or len(shape) != len(layout):
        raise LayerError(
            f"{name}: expected an input of {len(layout)} axes, {layout}, got {shape}"
        )


def refuse_empty(name: str, layout: str, shape: Shape, before: Shape) -> None:
    """Refuses an input that is too small for one window."""
    if any(
        side < 1
        for side, letter in zip(shape, layout, strict=True)
        if letter not in "NC"
    ):
        raise LayerError(f"{name}: an input of {before} is too small for one window")


def check_pair(name: str, position: int, pair: Any) -> None:
    """Refuses what is no (init_fun, apply_fun)."""
    if isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(callable, pair)):
        return
    raise LayerError(
        f"{name}: entry {position} is no pair (init_fun, apply_fun) but a "
        f"{type(pair).__name__}; functions that make layers are called, as in "
        "Dense(10), and Relu, Flatten and their like are not"
    )
