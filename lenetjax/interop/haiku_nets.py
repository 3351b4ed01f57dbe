"""Transformed functions of Haiku as layers."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp

from lenetjax.core import Layer, LayerError, Params, PyTree, State, layer
from lenetjax.interop.modes import mode_arguments
from lenetjax.interop.naming import form_of, from_dicts, to_dicts


def from_haiku(transformed: Any, *, mode: str | None = None) -> Layer:
    """Makes a layer of what `hk.transform` or `hk.transform_with_state` returns.

    Params and state are nested dicts, with Haiku's module names cut at each "/":
    ``{"mlp/~/linear_0": {"w": w}}`` is ``{"mlp": {"~": {"linear_0": {"w": w}}}}``.
    `to_dicts` turns Haiku's own params and state into these, and `from_dicts` back.

    Our init reads no values: where Haiku's would, as for the first average of its batch
    norm, it sees zeros.

    Args:
      transformed: of a function of one input, and perhaps of the mode; with
        `hk.without_apply_rng` or without.
      mode: the function's argument that is true in training. When None: those called
        train, training or is_training, and, which are true in evaluation,
        deterministic, inference and use_running_average.

    Input, output: whatever the function takes and returns.
    Params, state: as Haiku's init makes them in training mode, by name.

    Raises:
      LayerError: it is not transformed, or has no such argument.

    Example:
      >>> import haiku as hk, jax, jax.numpy as jnp, lenetjax as nn
      >>> net = nn.interop.from_haiku(hk.transform(lambda x: hk.nets.MLP([4, 2])(x)))
      >>> params = net.init(jax.random.key(0), jnp.zeros((8, 3)))
      >>> jax.tree.map(jnp.shape, params["mlp"]["~"]["linear_1"])
      {'b': (2,), 'w': (4, 2)}
      >>> net.apply(params, jnp.zeros((8, 3))).shape
      (8, 2)
    """
    kind = type(transformed).__name__
    if kind not in ("Transformed", "TransformedWithState"):
        raise LayerError(
            f"expected what hk.transform or hk.transform_with_state returns, got {kind}"
        )
    mode_of = mode_arguments(transformed.init, mode)
    place = 1 if kind == "Transformed" else 2
    takes_key = [*inspect.signature(transformed.apply).parameters][place:][:1] == [
        "rng"
    ]

    def made(key: jax.Array, x: PyTree) -> Any:
        x = jax.tree.map(lambda spec: jnp.zeros(spec.shape, spec.dtype), x)
        return transformed.init(key, x, **mode_of(True))

    form = form_of(made)

    def init(key: jax.Array, x: PyTree) -> Params:
        return to_dicts(made(key, x))

    def apply(params: Params, x: PyTree, *, key: Any, train: bool) -> PyTree:
        own = from_dicts(params, form(x))
        keys = (key,) if takes_key else ()
        return transformed.apply(own, *keys, x, **mode_of(train))

    def init_with_state(key: jax.Array, x: PyTree) -> tuple[Params, State]:
        params, state = made(key, x)
        return to_dicts(params), to_dicts(state)

    def apply_with_state(
        params: Params, x: PyTree, *, key: Any, train: bool, state: State
    ) -> tuple[PyTree, State]:
        own, own_state = map(from_dicts, (params, state), form(x))
        keys = (key,) if takes_key else ()
        y, new = transformed.apply(own, own_state, *keys, x, **mode_of(train))
        return y, to_dicts(new) if train else state

    if kind == "Transformed":
        return layer("from_haiku", init, apply)
    return layer("from_haiku", init_with_state, apply_with_state)
