"""How the outputs of layers inside a net come out of it.

They travel as state does, so that they pass through scans, vmaps and remats unharmed: a
net's state may hold one more entry, `TAPS`. On the way in it has what is to be added to
the outputs of the layers below, and on the way out those outputs, by path.
"""

from collections.abc import Mapping

import jax

from lenetjax.core import Call, Layer, LayerError, PyTree, State

TAPS = "#taps"  # no layer can have this name
Outputs = dict[str, PyTree]  # by path, from the layer that holds them


def split(state: State) -> tuple[State, Outputs]:
    """A net's own state, and what travels with it."""
    own = {name: entry for name, entry in state.items() if name != TAPS}
    return own, state.get(TAPS, {})


def joined(state: State, outputs: Outputs) -> State:
    """Undoes `split`."""
    return {**state, TAPS: outputs}


def below(outputs: Outputs, name: str) -> Outputs:
    """Those of the layers inside one child, by their paths from there."""
    start = f"{name}/"
    return {
        path.removeprefix(start): output
        for path, output in outputs.items()
        if path.startswith(start)
    }


def above(outputs: Outputs, name: str) -> Outputs:
    """Undoes `below`."""
    return {f"{name}/{path}": output for path, output in outputs.items()}


def has_places(layer: Layer) -> bool:
    """Whether there are layers inside whose outputs could be wanted."""
    return any(path for path, _ in layer.walk())


def is_wanted(call: Call) -> bool:
    """Whether the output of this call is wanted, be it the layer's first or a later."""
    return first_call(call.path) in call.taps


def first_call(path: str) -> str:
    """The path of a layer's first call: "block/fc" for "block#1/fc#2"."""
    return "/".join(name.partition("#")[0] for name in path.split("/"))


def moved(path: str, y: PyTree, outputs: Mapping[str, PyTree]) -> PyTree:
    """A layer's output with what is to be added to it.

    Raises:
      LayerError: that has another shape.
    """
    if path not in outputs:
        return y
    extra = outputs[path]
    try:
        fits = jax.tree.map(lambda a, b: a.shape == b.shape, y, extra)
    except (ValueError, AttributeError):
        fits = False
    if not jax.tree.all(fits):
        raise LayerError(f"what is added to the output of {path!r} must be like it")
    return jax.tree.map(lambda a, b: a + b.astype(a.dtype), y, extra)
