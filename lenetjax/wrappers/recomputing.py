"""Memory saved by computing twice."""

from dataclasses import replace
from typing import Any

import jax

from lenetjax.core import Call, Layer, Params, Plan, PyTree, State, as_layer
from lenetjax.wrappers.wrapper import AnyLayer, wrapper


def remat(layer: AnyLayer) -> Layer:
    """Computes the inside of a layer again for its gradient, to save memory.

    The numbers are the same; only the layer's input is kept for the backward pass.

    Args:
      layer: any layer.

    Input, output, params, state: those of the layer.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> net = nn.remat(nn.serial(fc=nn.linear(3), act=jnp.tanh))
      >>> params = net.init(jax.random.key(0), jnp.zeros((8, 3)))
      >>> net.apply(params, jnp.zeros((8, 3))).shape
      (8, 3)

    Follows `jax.checkpoint`.
    """
    inner = as_layer(layer)

    def plan(x: PyTree, call: Call) -> Plan:
        child = inner.plan_call(x, call)
        return replace(child, layer=self, children=(child,))

    def run(
        params: Params, state: State, x: PyTree, call: Call
    ) -> tuple[PyTree, State]:
        def again(params: Params, state: State, x: PyTree, key: Any) -> Any:
            return inner.run_call(params, state, x, replace(call, key=key))

        result: tuple[PyTree, State] = jax.checkpoint(again)(params, state, x, call.key)
        return result

    self = wrapper(remat, {}, inner, plan, run)
    return self
