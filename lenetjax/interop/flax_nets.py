"""Modules of Flax Linen as layers."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from lenetjax.core import Layer, LayerError, Params, PyTree, State, child_key, layer
from lenetjax.interop.modes import mode_arguments


def from_flax(
    module: Any,
    *,
    mutable: Sequence[str] = (),
    mode: str | None = None,
    rngs: Sequence[str] = ("dropout",),
) -> Layer:
    """Makes a layer of a module of `flax.linen`.

    Params are what Flax has in "params", and state is the other collections by name:
    ``{"batch_stats": {...}}``. So ``variables = {"params": params, **state}``.

    Args:
      module: a `flax.linen.Module` whose ``__call__`` takes one input, and perhaps the
        mode.
      mutable: the collections that training changes, such as ["batch_stats"]; with any,
        the layer has state.
      mode: the argument of ``__call__`` that is true in training. When None: those
        called train, training or is_training, and, which are true in evaluation,
        deterministic, inference and use_running_average.
      rngs: the names under which the module asks for random keys. The first one gets
        the layer's own key.

    Input, output: whatever the module takes and returns.
    Params, state: as Flax's init makes them, which is called in evaluation mode.

    Raises:
      LayerError: it is no module, or has no such argument; later, it has collections
        that `mutable` does not name.

    Example:
      >>> import flax.linen, jax, jax.numpy as jnp, lenetjax as nn
      >>> net = nn.interop.from_flax(flax.linen.Dense(4))
      >>> params = net.init(jax.random.key(0), jnp.zeros((8, 3)))
      >>> jax.tree.map(jnp.shape, params)
      {'bias': (4,), 'kernel': (3, 4)}
      >>> net.apply(params, jnp.zeros((8, 3))).shape
      (8, 4)
    """
    name = type(module).__name__
    if isinstance(module, type) or not all(
        hasattr(module, verb) for verb in ("init", "apply", "scope")
    ):
        raise LayerError(f"expected a module of flax.linen, got {name} {module}")
    mode_of = mode_arguments(module.__call__, mode)

    def streams(key: jax.Array | None) -> dict[str, jax.Array]:
        if key is None:
            return {}
        others = {stream: child_key(key, stream) for stream in rngs[1:]}
        return dict.fromkeys(rngs[:1], key) | others

    def init_with_state(key: jax.Array, x: PyTree) -> tuple[Params, State]:
        from flax.linen import meta

        keys = {"params": key} | {s: child_key(key, s) for s in rngs}
        x = jax.tree.map(lambda spec: jnp.zeros(spec.shape, spec.dtype), x)
        state = dict(meta.unbox(module.init(keys, x, **mode_of(False))))
        params = state.pop("params", {})
        if set(state) != set(mutable):
            raise LayerError(
                f"the module has the collections {sorted(state)} besides params: "
                f"from_flax(module, mutable={sorted(state)}), got {list(mutable)}"
            )
        return params, state

    def init(key: jax.Array, x: PyTree) -> Params:
        return init_with_state(key, x)[0]

    def apply(params: Params, x: PyTree, *, key: Any, train: bool) -> PyTree:
        return module.apply({"params": params}, x, rngs=streams(key), **mode_of(train))

    def apply_with_state(
        params: Params, x: PyTree, *, key: Any, train: bool, state: State
    ) -> tuple[PyTree, State]:
        variables = {"params": params, **state}
        options = {"rngs": streams(key), **mode_of(train)}
        if not train:
            return module.apply(variables, x, **options), state
        y, new = module.apply(variables, x, mutable=list(mutable), **options)
        return y, dict(new)

    settings = {"module": name} | ({"mutable": list(mutable)} if mutable else {})
    if mutable:
        return layer(from_flax, init_with_state, apply_with_state, settings=settings)
    return layer(from_flax, init, apply, settings=settings)
