"""Weights of a module of Flax NNX as params and state."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from lenetjax.core import Layer, LayerError, Params, PyTree, State
from lenetjax.interop.naming import check_names, to_dicts
from lenetjax.trees import flat, unflat

# What NNX calls our entries.
THEIR_NAMES = {"weight": ("kernel", "scale", "embedding", "weight")}


def from_nnx(
    net: Layer, module: Any, x: PyTree, *, names: Mapping[str, str] | None = None
) -> tuple[Params, State]:
    """Makes a net's params and state of the weights of the same net in Flax NNX.

    Layers are matched by their paths, and kernels, scales and embeddings are our
    weights. Both libraries have channels last, so no array changes its layout but the
    kernel of a transposed convolution, which is turned round. Settings are not read:
    give the net the module's strides, paddings and epsilons.

    Args:
      net: the net.
      module: the same net as a `flax.nnx.Module`; its random keys are left out.
      x: an example input, or its `jax.ShapeDtypeStruct`.
      names: what NNX calls a layer, where it is not our path with dots for slashes:
        ``{"block/conv1": "layers.0.conv"}``. It holds for what is inside as well; ""
        is the whole net.

    Returns:
      ``(params, state)``, as `init_with_state` returns them, in the dtypes that it
      gives them; state is `{}` where the net has none.

    Raises:
      LayerError: something is missing, left over or has another shape, and all of it
        is listed; or the net has no layer that is in `names`.

    Example:
      >>> import flax.nnx, jax.numpy as jnp, lenetjax as nn
      >>> theirs = flax.nnx.Linear(3, 4, rngs=flax.nnx.Rngs(0))
      >>> net = nn.serial(fc=nn.linear(4))
      >>> x = jnp.ones((1, 3))
      >>> params, state = nn.interop.from_nnx(net, theirs, x, names={"fc": ""})
      >>> bool(jnp.allclose(net.apply(params, x), theirs(x)))
      True
    """
    from flax import nnx

    if not isinstance(module, nnx.Module):
        raise LayerError(f"expected an nnx.Module, got {type(module).__name__}")
    names = names or {}
    check_names(net, names)
    weights, _, others = nnx.state(
        module, nnx.Any(nnx.Param, nnx.BatchStat), nnx.RngState, ...
    )
    theirs = flat(to_dicts(nnx.to_pure_dict(weights)))
    left_over = set(theirs) | set(flat(to_dicts(nnx.to_pure_dict(others))))
    kinds = {path: layer.kind for path, layer in net.walk()}
    plan = net.plan(x)
    problems: list[str] = []

    def found(tree: Any) -> Any:
        ours = {}
        for path, spec in flat(tree).items():
            layer_path, _, entry = path.rpartition(".")
            home = _theirs(layer_path.replace(".", "/"), names)
            tried = [
                f"{home}.{name}".strip(".") for name in THEIR_NAMES.get(entry, (entry,))
            ]
            name = next((name for name in tried if name in theirs), None)
            if name is None:
                problems.append(f"{path}: found none of {', '.join(tried)}")
                continue
            left_over.discard(name)
            array = jnp.asarray(theirs[name], spec.dtype)
            if array.shape != spec.shape:
                problems.append(
                    f"{path}: expected {spec.shape}, got {array.shape} in {name}"
                )
            if kinds.get(layer_path.replace(".", "/"), "").startswith("conv_transpose"):
                array = _turned_round(array)
            ours[path] = array
        return unflat(ours)

    params, state = found(plan.params), found(plan.state)
    problems += [f"{name}: left over" for name in sorted(left_over)]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise LayerError(
            f"the weights of {type(module).__name__} do not fit the net:\n{lines}\n"
            "Where only names differ, give names={our path: their path}."
        )
    return params, state


def _theirs(path: str, names: Mapping[str, str]) -> str:
    """What they call the layer at one of our paths, by the longest name given."""
    parts = path.split("/") if path else []
    for count in range(len(parts), -1, -1):
        start = "/".join(parts[:count])
        if start in names:
            return ".".join([name for name in (names[start], *parts[count:]) if name])
    return ".".join(parts)


def _turned_round(array: jax.Array) -> jax.Array:
    """A kernel (..., in, out) read backwards on each spatial axis; a bias stays."""
    return jnp.flip(array, tuple(range(array.ndim - 2))) if array.ndim > 2 else array
