"""Dtypes of params, computation and output, for a whole net at once."""

from typing import Any

import jax
import jax.numpy as jnp

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
from lenetjax.wrappers.wrapper import AnyLayer, wrapper

DTYPES = ("bfloat16", "float16", "float32", "float64")


def mixed_precision(
    layer: AnyLayer,
    *,
    params: str = "float32",
    compute: str = "bfloat16",
    output: str = "float32",
) -> Layer:
    """Computes a net in a small dtype, with params and output in a larger one.

    Arrays of integers and bools, and state, keep their dtypes. Gradients arrive in the
    params' dtype. With float16 small gradients vanish: scale the loss, or use bfloat16.

    Args:
      layer: any layer, such as a whole net.
      params: the dtype of the params that `init` makes.
      compute: the dtype that params and input are converted to inside.
      output: the dtype that the output is converted to.

    Input: whatever the layer takes.
    Output: what the layer returns, in the output's dtype.
    Params: those of the layer, in the params' dtype.
    State: that of the layer.

    Raises:
      LayerError: a dtype is not the name of a floating one.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> net = nn.mixed_precision(nn.serial(fc=nn.linear(3), act=jnp.tanh))
      >>> params = net.init(jax.random.key(0), jnp.zeros((8, 3)))
      >>> params["fc"]["weight"].dtype, net.apply(params, jnp.zeros((8, 3))).dtype
      (dtype('float32'), dtype('float32'))

    Reference: Micikevicius et al., "Mixed Precision Training", 2017.
    """
    inner = as_layer(layer)
    dtypes = {"params": params, "compute": compute, "output": output}
    for name, dtype in dtypes.items():
        _check_dtype(name, dtype)

    def plan(x: PyTree, call: Call) -> Plan:
        with call.inside(self, x, None):
            _refuse_missing_float64(dtypes)
        made = inner.plan_call(_cast_specs(x, params), call)
        child = inner.plan_call(_cast_specs(x, compute), call)

        def init(key: jax.Array) -> tuple[Params, State]:
            values, state = made.init(key)
            return _cast(values, params), state

        return Plan(
            self,
            call.path,
            x,
            _cast_specs(child.y, output),
            _cast_specs(made.params, params),
            made.state,
            init,
            (child,),
        )

    def run(
        params: Params, state: State, x: PyTree, call: Call
    ) -> tuple[PyTree, State]:
        if call.stand_in is not None:  # its numbers are not for rounding
            return inner.run_call(params, state, x, call)
        y, state = inner.run_call(
            _cast(params, compute), state, _cast(x, compute), call
        )
        return _cast(y, output), state

    self = wrapper(mixed_precision, dtypes, inner, plan, run)
    return self


def _check_dtype(name: str, dtype: str) -> None:
    if dtype not in DTYPES:
        raise LayerError(f"{name} must be one of {', '.join(DTYPES)}, got {dtype!r}")


def _refuse_missing_float64(dtypes: dict[str, str]) -> None:
    missing = [name for name, dtype in dtypes.items() if dtype == "float64"]
    if missing and jax.dtypes.canonicalize_dtype("float64") != "float64":
        raise LayerError(
            f"{missing[0]}='float64' needs jax.config.update('jax_enable_x64', True)"
        )


def _cast(tree: PyTree, dtype: str) -> PyTree:
    return jax.tree.map(
        lambda array: array.astype(dtype) if _is_floating(array) else array, tree
    )


def _cast_specs(tree: PyTree, dtype: str) -> PyTree:
    return jax.tree.map(
        lambda spec: (
            jax.ShapeDtypeStruct(spec.shape, jnp.dtype(dtype))
            if _is_floating(spec)
            else spec
        ),
        tree,
    )


def _is_floating(array: Any) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.floating))
