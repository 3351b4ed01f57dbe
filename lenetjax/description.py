"""A net as plain data, and back: what a run writes down to be rebuilt from."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lenetjax import layers, wrappers
from lenetjax.combinators import branch, parallel, residual, serial
from lenetjax.core import Layer, LayerError, as_layer

FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        jax.nn.celu,
        jax.nn.elu,
        jax.nn.gelu,
        jax.nn.hard_sigmoid,
        jax.nn.hard_tanh,
        jax.nn.leaky_relu,
        jax.nn.log_sigmoid,
        jax.nn.log_softmax,
        jax.nn.mish,
        jax.nn.relu,
        jax.nn.relu6,
        jax.nn.selu,
        jax.nn.sigmoid,
        jax.nn.silu,
        jax.nn.soft_sign,
        jax.nn.softmax,
        jax.nn.softplus,
        jax.nn.tanh,
    )
}
FUNCTIONS |= {"builtins.sum": sum, "concatenate": jnp.concatenate, "stack": jnp.stack}
COMBINATORS: dict[str, Callable[..., Layer]] = {
    "serial": serial,
    "parallel": parallel,
    "branch": branch,
    "residual": residual,
}
WRAPPERS: dict[str, Callable[..., Layer]] = {
    name: getattr(wrappers, name)
    for name in (
        "ensemble", "mixed_precision", "remat", "repeat", "spectral_norm", "tapped",
        "weight_norm",
    )
}  # fmt: skip
LAYERS: dict[str, Callable[..., Layer]] = {
    name: getattr(layers, name) for name in layers.__all__
}


def describe(net: Layer) -> dict[str, Any]:
    """Describes a net in plain data that JSON can hold: kind, settings, children.

    Example:
      >>> import jax, lenetjax as nn
      >>> nn.describe(nn.serial(act=jax.nn.relu))["children"]
      {'act': {'kind': 'relu', 'settings': {}, 'children': {}}}
    """
    return {
        "kind": net.kind,
        "settings": dict(net.settings),
        "children": {name: describe(child) for name, child in net.children.items()},
    }


def build(
    description: Mapping[str, Any],
    kinds: Mapping[str, Callable[..., Layer]] | None = None,
) -> Layer:
    """Rebuilds the net that `describe` described.

    Only names known here are built; nothing is imported and no code in the data runs.

    Args:
      description: what `describe` returned, perhaps by way of JSON.
      kinds: the functions that make your own layers, by kind.

    Raises:
      LayerError: the description is malformed, or a kind is unknown. A `compose` has a
        forward function, which no data can hold: name the function that makes the
        whole net in `kinds` instead.

    Example:
      >>> import lenetjax as nn
      >>> nn.build(nn.describe(nn.serial(fc=nn.linear(2))))
      serial(
        (fc): linear(2)
      )
    """
    try:
        kind, settings = description["kind"], dict(description["settings"])
        children = {
            str(name): build(child, kinds)
            for name, child in description["children"].items()
        }
    except LayerError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError):
        raise LayerError(
            "a net's description has a kind, settings and children"
        ) from None
    try:
        if kinds and kind in kinds:
            return kinds[kind](**settings)
        if kind in COMBINATORS:
            return COMBINATORS[kind](**children)
        if kind in WRAPPERS:
            if list(children) != [""]:
                raise LayerError(f"{kind}: expected one child, with an empty name")
            return WRAPPERS[kind](layer=children[""], **settings)
        if kind in LAYERS:
            return LAYERS[kind](**settings)
        if kind in FUNCTIONS:
            function = FUNCTIONS[kind]
            inspect.signature(function).bind(None, **settings)  # TypeError if unfit
            return as_layer(partial(function, **settings) if settings else function)
    except TypeError as error:
        raise LayerError(f"{kind}: these settings do not fit: {error}") from None
    raise LayerError(
        f"unknown kind {kind!r}; give the function that makes it: "
        f"build(description, kinds={{{kind!r}: ...}})"
    )
