"""Many copies of one layer, one after the other or side by side."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from lenetjax import cache
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
from lenetjax.specs import shapes_text
from lenetjax.wrappers.wrapper import AnyLayer, wrapper

# In units of what fits the cache: how much is still faster all at once than with its
# insides computed again for the gradient, and how much to work on where it is not.
MOST, SOME = 4, 2


def repeat(n: int, layer: AnyLayer, *, remat: bool = False) -> Layer:
    """Feeds a layer's output to the next of n copies of it, compiled once.

    Each copy has its own params, state and random numbers. They run in one
    `jax.lax.scan`, so that compiling takes as long as for one copy.

    Args:
      n: how many copies.
      layer: a layer whose output has its input's shape and dtype.
      remat: whether to compute the inside of each copy again for its gradient, instead
        of keeping it in memory.

    Input, output: whatever the layer takes; the output is like the input.
    Params, state: those of the layer, each array with a first axis of n copies.

    Raises:
      LayerError: n is not positive; later, the output is not like the input.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> net = nn.repeat(4, nn.serial(fc=nn.linear(3), act=jnp.tanh))
      >>> params = net.init(jax.random.key(0), jnp.zeros((8, 3)))
      >>> params["fc"]["weight"].shape, net.apply(params, jnp.zeros((8, 3))).shape
      ((4, 3, 3), (8, 3))
    """
    inner = as_layer(layer)
    size("n", n)

    def plan(x: PyTree, call: Call) -> Plan:
        child = inner.plan_call(x, call)
        with call.inside(self, x, None):
            if shapes_text(child.y) != shapes_text(x):
                raise LayerError(
                    f"the layer makes {shapes_text(child.y)} of {shapes_text(x)}; "
                    "to be repeated, its output must be like its input"
                )
        return _copies_plan(self, child, n, child.y)

    def run(
        params: Params, state: State, x: PyTree, call: Call
    ) -> tuple[PyTree, State]:
        def step(x: PyTree, copy: Any) -> tuple[PyTree, State]:
            i, params, state = copy
            return inner.run_call(params, state, x, _copy_call(call, i))

        if remat:  # scan itself keeps the compiler from undoing it
            step = jax.checkpoint(step, prevent_cse=False)
        return jax.lax.scan(step, x, (jnp.arange(n), params, state))

    self = wrapper(repeat, {"n": n, "remat": remat}, inner, plan, run)
    return self


def ensemble(n: int, layer: AnyLayer) -> Layer:
    """Gives one input to n independent copies of a layer, all at once.

    Each copy has its own params, state and random numbers. On a CPU, copies whose
    outputs outgrow the cache are worked on a few at a time, and for the gradient their
    insides are computed again instead of being kept.

    Args:
      n: how many copies.
      layer: any layer.

    Input: whatever the layer takes.
    Output: what the layer returns, with a new first axis of n copies.
    Params, state: those of the layer, each array with a first axis of n copies.

    Raises:
      LayerError: n is not positive.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> net = nn.ensemble(5, nn.linear(2))
      >>> params = net.init(jax.random.key(0), jnp.zeros((8, 3)))
      >>> params["weight"].shape, net.apply(params, jnp.zeros((8, 3))).shape
      ((5, 3, 2), (5, 8, 2))

    Reference: Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles", 2017.
    """
    inner = as_layer(layer)
    size("n", n)

    def plan(x: PyTree, call: Call) -> Plan:
        child = inner.plan_call(x, call)
        return _copies_plan(self, child, n, _stacked(child.y, n))

    def run(
        params: Params, state: State, x: PyTree, call: Call
    ) -> tuple[PyTree, State]:
        def one(i: jax.Array, params: Params, state: State) -> tuple[PyTree, State]:
            return inner.run_call(params, state, x, _copy_call(call, i))

        copies, child = (jnp.arange(n), params, state), inner.plan_call(x, call)
        outputs = cache.output_bytes(child)
        if cache.at_once(n, outputs, of=MOST) == n:
            return jax.vmap(one)(*copies)
        some = jax.checkpoint(lambda copy: one(*copy), prevent_cse=False)
        at_once = cache.at_once(n, outputs, of=SOME)
        y, states = jax.lax.map(some, copies, batch_size=at_once)
        return y, states

    self = wrapper(ensemble, {"n": n}, inner, plan, run)
    return self


def _copies_plan(layer: Layer, child: Plan, n: int, y: PyTree) -> Plan:
    def init(key: jax.Array) -> tuple[Params, State]:
        def one(i: jax.Array) -> tuple[Params, State]:
            return child.init(jax.random.fold_in(key, i))

        return jax.vmap(one)(jnp.arange(n))

    return Plan(
        layer,
        child.path,
        child.x,
        y,
        _stacked(child.params, n),
        _stacked(child.state, n),
        init,
        (child,),
        copies=n,
    )


def _copy_call(call: Call, i: jax.Array) -> Call:
    """The call as one of the copies sees it, with random numbers of its own."""
    return replace(
        call, key=None if call.key is None else jax.random.fold_in(call.key, i)
    )


def _stacked(specs: PyTree, n: int) -> PyTree:
    return jax.tree.map(
        lambda spec: jax.ShapeDtypeStruct((n, *spec.shape), spec.dtype), specs
    )
