"""How functions of other libraries are told whether they train."""

import inspect
from collections.abc import Callable
from typing import Any

from lenetjax.core import LayerError

TRAINS = ("train", "training", "is_training")
RESTS = ("deterministic", "inference", "use_running_average")  # true in evaluation


def mode_arguments(
    function: Callable[..., Any], asked: str | None
) -> Callable[[bool], dict[str, bool]]:
    """Finds the arguments that say whether a function trains.

    Args:
      function: what is looked at.
      asked: the argument's name; None finds all of those in `TRAINS` and `RESTS`.

    Returns:
      A function of `train` that makes these arguments.

    Raises:
      LayerError: there is no such argument.
    """
    taken = list(inspect.signature(function).parameters)
    if asked is not None and asked not in taken:
        raise LayerError(f"there is no argument {asked!r}; there are: {taken}")
    found = [name for name in (*TRAINS, *RESTS) if name in taken]
    names = found if asked is None else [asked]
    return lambda train: {name: train is not (name in RESTS) for name in names}
