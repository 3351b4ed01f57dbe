"""The outputs of layers inside a net, as a second output."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from lenetjax import inner_outputs
from lenetjax.core import (
    Call,
    Layer,
    LayerError,
    Params,
    Plan,
    PyTree,
    State,
    as_layer,
)
from lenetjax.specs import key_spec
from lenetjax.trees import matching
from lenetjax.wrappers.wrapper import AnyLayer, wrapper

Apply = Callable[..., tuple[PyTree, dict[str, PyTree]]]


def taps(net: AnyLayer, *patterns: str) -> Apply:
    """Makes an `apply` that returns the outputs of chosen inner layers as well.

    It is a pure function, for `jax.jit`, `jax.grad` and `jax.vmap` like `apply` itself.

    Args:
      net: any layer made of layers.
      *patterns: paths such as "conv1" or "block/conv2", where "*" stands for any part
        of a name, "**" for any number of names, and "?" for a letter.

    Returns:
      ``apply(params, x, *, state=None, key=None, train=False, add=None)``, which
      returns ``(y, {path: output})``. The second call of a shared layer is called
      "fc#1", the third "fc#2". Outputs inside `repeat` and `ensemble` have a first axis
      of copies. `add` is a dict with an array for any of these paths, to be added to
      that output on its way: where it is zero, the gradient with respect to it is the
      one with respect to the output.

    Raises:
      LayerError: a pattern matches no layer; later, what `apply` raises, or `add` does
        not fit, or a chosen layer is called inside a jax transform by the forward
        function of a `compose`.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> net = nn.models.lenet()
      >>> images = jnp.ones((1, 32, 32, 1))
      >>> params = net.init(jax.random.key(0), images)
      >>> look = nn.taps(net, "relu1", "fc*")
      >>> logits, seen = look(params, images)
      >>> {path: output.shape for path, output in seen.items()}
      {'relu1': (1, 30, 30, 6), 'fc1': (1, 120), 'fc2': (1, 84), 'fc3': (1, 10)}
      >>> def logit(add):
      ...     return look(params, images, add=add)[0][0, 3]
      >>> zeros = jax.tree.map(jnp.zeros_like, seen)
      >>> jax.grad(logit)(zeros)["relu1"].shape
      (1, 30, 30, 6)
    """
    usual = tapped(net, patterns)

    def apply(
        params: Params,
        x: PyTree,
        *,
        state: State | None = None,
        key: jax.Array | None = None,
        train: bool = False,
        add: Mapping[str, PyTree] | None = None,
    ) -> tuple[PyTree, dict[str, PyTree]]:
        layer = usual if add is None else _tapped(as_layer(net), patterns, add)
        y, outputs = layer.apply(params, x, state=state, key=key, train=train)
        return y, outputs

    return apply


def tapped(layer: AnyLayer, patterns: str | Sequence[str]) -> Layer:
    """Returns the outputs of chosen inner layers beside the layer's own.

    It is what `taps` calls, as a layer: for nets whose state changes in training, for
    losses on what is inside (``loss((y, outputs), labels)``), and inside other nets.

    Args:
      layer: any layer made of layers.
      patterns: paths of layers inside, as in `taps`, one or several.

    Input, params, state: those of the layer.
    Output: ``(y, {path: output})``.

    Raises:
      LayerError: a pattern matches no layer.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> net = nn.tapped(nn.serial(fc=nn.linear(4), norm=nn.batch_norm()), "fc")
      >>> x = jnp.ones((8, 3))
      >>> params, state = net.init_with_state(jax.random.key(0), x)
      >>> (y, outputs), state = net.apply_with_state(params, state, x, train=True)
      >>> outputs["fc"].shape
      (8, 4)
    """
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    return _tapped(as_layer(layer), patterns, {})


def _tapped(inner: Layer, patterns: tuple[str, ...], add: Mapping[str, Any]) -> Layer:
    places = dict.fromkeys(path for path, _ in inner.walk() if path)
    if not patterns:
        raise LayerError("name a layer to tap, such as 'conv1', or '**' for all")
    chosen = matching("layers", places, patterns)

    def plan(x: PyTree, call: Call) -> Plan:
        child = inner.plan_call(x, call)

        def output(params: Params, state: State, x: PyTree, key: jax.Array) -> PyTree:
            return run(params, state, x, replace(call, key=key, shapes=[]))[0]

        key = key_spec()
        y = jax.eval_shape(output, child.params, child.state, x, key)
        return replace(child, layer=self, y=y, children=(child,))

    def run(
        params: Params, state: State, x: PyTree, call: Call
    ) -> tuple[PyTree, State]:
        own, added = inner_outputs.split(state)
        here = {f"{call.path}/{path}" if call.path else path for path in chosen}
        state = inner_outputs.joined(
            own, {**added, **jax.tree.map(jnp.asarray, dict(add))}
        )
        y, state = inner.run_call(
            params, state, x, replace(call, taps=call.taps | here)
        )
        state, outputs = inner_outputs.split(state)
        ours = {
            path: y
            for path, y in outputs.items()
            if inner_outputs.first_call(path) in chosen
        }
        _refuse_unknown(add, ours)
        return (y, ours), inner_outputs.joined(state, outputs) if call.taps else state

    self = wrapper(tapped, {"patterns": patterns}, inner, plan, run)
    return self


def _refuse_unknown(add: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    if unknown := [path for path in add if path not in outputs]:
        raise LayerError(
            f"add has {', '.join(map(repr, unknown))}, and what is tapped is "
            f"{', '.join(outputs)}"
        )
