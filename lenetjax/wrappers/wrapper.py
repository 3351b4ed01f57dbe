"""What all wrappers share: one layer inside, under an empty name."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from lenetjax.core import Call, Layer, Params, Plan, PyTree, State
from lenetjax.signatures import call_text

AnyLayer = Layer | Callable[[jax.Array], jax.Array]


def wrapper(
    constructor: Callable[..., Layer],
    settings: Mapping[str, Any],
    inner: Layer,
    plan: Callable[[PyTree, Call], Plan],
    run: Callable[[Params, State, PyTree, Call], tuple[PyTree, State]],
    needs: frozenset[str] = frozenset(),
) -> Layer:
    """Makes a layer around another one, which keeps its path and its params' names."""
    start = call_text(constructor, settings).removesuffix(")")
    text = f"{start}{'' if start.endswith('(') else ', '}...)"
    return Layer(
        constructor.__name__, dict(settings), {"": inner}, needs, text, plan, run
    )
