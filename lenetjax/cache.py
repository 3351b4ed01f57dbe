"""How much to work on at once, so that it stays in a processor's cache.

On a CPU, memory that is new to every call costs more than the arithmetic on it.
"""

import math
from typing import Any

import jax

from lenetjax.core import Plan

CACHE = 5 * 2**20  # bytes of layer outputs that pay best to work on at once


def at_once(count: int, outputs: Any, of: int) -> int:
    """How many of count things to work on at once.

    All of them, unless a CPU does the work and its cache holds fewer.

    Args:
      count: how many there are.
      outputs: bytes that `of` of them take; where a size is known by name only, as in
        a program to be exported, this is no number, and nothing is held back.
    """
    if jax.default_backend() != "cpu" or not isinstance(outputs, int):
        return count
    return min(count, max(1, CACHE * of // max(1, outputs)))


def output_bytes(plan: Plan) -> Any:
    """The memory of all outputs of the layers inside."""
    if plan.children:
        return plan.copies * sum(map(output_bytes, plan.children))
    y = jax.tree.leaves(plan.y)
    return sum(math.prod(a.shape) * a.dtype.itemsize for a in y)
