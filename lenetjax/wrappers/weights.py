"""Weights that are stored another way than they are used."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lenetjax import functional
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
from lenetjax.functional.arguments import size
from lenetjax.specs import key_spec, shapes_text
from lenetjax.wrappers.wrapper import AnyLayer, wrapper

FIRST_ITERATIONS = 15  # as many as PyTorch takes before the first call


def weight_norm(layer: AnyLayer) -> Layer:
    """Stores a layer's weight as a direction and a gain for each output.

    Args:
      layer: a layer with a weight of two axes or more, such as `linear` or `conv2d`.

    Input, output, state: those of the layer.
    Params: those of the layer, where weight is the direction, of any length; and gain
      (out,), the length of each output's weights, for weight's last axis.

    Raises:
      LayerError: on use, the layer has no such weight, or a gain of its own.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer = nn.weight_norm(nn.linear(2))
      >>> params = layer.init(jax.random.key(0), jnp.zeros((8, 3)))
      >>> jax.tree.map(jnp.shape, params)
      {'bias': (2,), 'gain': (2,), 'weight': (3, 2)}

    Reference: Salimans and Kingma, "Weight Normalization", 2016. Follows
    `torch.nn.utils.parametrizations.weight_norm`, over the weight's last axis.
    """
    inner = as_layer(layer)

    def add_gain(key: jax.Array, params: Params, state: State) -> tuple[Params, State]:
        axes = range(params["weight"].ndim - 1)
        gain = jnp.sqrt(jnp.square(params["weight"]).sum(axes))
        return params | {"gain": gain}, state

    def plan(x: PyTree, call: Call) -> Plan:
        child = inner.plan_call(x, call)
        with call.inside(self, x, None):
            _refuse_weightless(child, "gain")
        return _changed(self, child, add_gain)

    def run(
        params: Params, state: State, x: PyTree, call: Call
    ) -> tuple[PyTree, State]:
        kept = {name: entry for name, entry in params.items() if name != "gain"}
        weight = functional.weight_norm(params["weight"], params["gain"])
        return inner.run_call(kept | {"weight": weight}, state, x, call)

    self = wrapper(weight_norm, {}, inner, plan, run)
    return self


def spectral_norm(layer: AnyLayer, *, iterations: int = 1, eps: float = 1e-12) -> Layer:
    """Divides a layer's weight by its largest singular value, found step by step.

    Each training step takes `iterations` steps of the power iteration; evaluation
    takes none.

    Args:
      layer: a layer with a weight of two axes or more and no state, such as `linear`.
      iterations: steps of the power iteration for each training step.
      eps: keeps a weight of zeros from dividing by zero.

    Input, output, params: those of the layer.
    State: u (out,) and v (product of the weight's other axes,), at least float32: the
      first singular vectors.

    Raises:
      LayerError: iterations is not positive; later, the layer has no such weight, or
        has state.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer = nn.spectral_norm(nn.linear(2))
      >>> params, state = layer.init_with_state(jax.random.key(0), jnp.zeros((8, 3)))
      >>> jax.tree.map(jnp.shape, state)
      {'u': (2,), 'v': (3,)}

    Reference: Miyato et al., "Spectral Normalization for Generative Adversarial
    Networks", 2018. Follows `torch.nn.utils.parametrizations.spectral_norm`, over the
    weight's last axis.
    """
    inner = as_layer(layer)
    size("iterations", iterations)

    def add_vectors(
        key: jax.Array, params: Params, state: State
    ) -> tuple[Params, State]:
        weight = params["weight"]
        dtype = jnp.promote_types(weight.dtype, jnp.float32)
        u_key, v_key = jax.random.split(key)
        u = jax.random.normal(u_key, weight.shape[-1:], dtype)
        v = jax.random.normal(v_key, (weight.size // weight.shape[-1],), dtype)
        _, u, v = functional.spectral_norm(
            weight, u, v, iterations=FIRST_ITERATIONS, eps=eps
        )
        return params, {"u": u, "v": v}

    def plan(x: PyTree, call: Call) -> Plan:
        child = inner.plan_call(x, call)
        with call.inside(self, x, None):
            _refuse_weightless(child)
            if child.state:
                raise LayerError(
                    "the layer has state; use spectral_norm around the layers inside it"
                )
        return _changed(self, child, add_vectors)

    def run(
        params: Params, state: State, x: PyTree, call: Call
    ) -> tuple[PyTree, State]:
        weight, u, v = functional.spectral_norm(
            params["weight"],
            state["u"],
            state["v"],
            iterations=iterations if call.train else 0,
            eps=eps,
        )
        y, _ = inner.run_call(params | {"weight": weight}, {}, x, call)
        return y, {"u": u, "v": v}

    settings = {"iterations": iterations, "eps": eps}
    needs = frozenset({"state", "train"})
    self = wrapper(spectral_norm, settings, inner, plan, run, needs)
    return self


def _changed(
    layer: Layer,
    child: Plan,
    change: Callable[[jax.Array, Params, State], tuple[Params, State]],
) -> Plan:
    """The plan of a wrapper that adds to what the layer's init makes."""

    def init(key: jax.Array) -> tuple[Params, State]:
        layer_key, own_key = jax.random.split(key)
        return change(own_key, *child.init(layer_key))

    params, state = jax.eval_shape(init, key_spec())
    return Plan(layer, child.path, child.x, child.y, params, state, init)


def _refuse_weightless(child: Plan, *taken: str) -> None:
    weight: Any = child.params.get("weight")
    if len(getattr(weight, "shape", ())) < 2 or any(n in child.params for n in taken):
        raise LayerError(
            "expected a layer with a weight of two axes or more, such as linear or "
            f"conv2d, got one with the params: {shapes_text(child.params) or 'none'}"
        )
