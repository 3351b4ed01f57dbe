"""Params by name: counting them, choosing some of them, and listing them flat."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import jax

from lenetjax.checks import LayerError, check_tree
from lenetjax.specs import shapes_by_path

Tree = dict[str, Any]  # nested dicts of arrays


def mask(params: Mapping[str, Any], *patterns: str) -> Tree:
    """Says for each array whether its path matches one of some patterns.

    Made for optax: ``optax.masked(optax.add_decayed_weights(1e-4), mask)`` decays some
    params, `optax.partition` gives them an optimizer of their own, and
    ``optax.partition({True: optimizer, False: optax.set_to_zero()}, mask)`` freezes the
    others.

    Args:
      params: nested dicts of arrays; state will do as well.
      patterns: paths such as "conv1/weight", where "*" stands for any part of a name,
        "**" for any number of names, and "?" for a letter.

    Returns:
      The same nested dicts with a bool for each array.

    Raises:
      LayerError: a pattern matches nothing, as a misspelt one does.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> params = {"conv1": {"weight": jnp.ones(3), "bias": jnp.ones(1)}}
      >>> nn.mask(params, "conv*/weight")
      {'conv1': {'weight': True, 'bias': False}}
    """
    check_tree("params", params)
    return _marked(params, matching("params", list(shapes_by_path(params)), patterns))


def count(params: Mapping[str, Any], *patterns: str) -> int:
    """Counts the numbers in all arrays, or in those whose paths match a pattern.

    Args:
      params: nested dicts of arrays.
      patterns: as in `mask`; none of them means all arrays.

    Raises:
      LayerError: a pattern matches nothing.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> params = {"fc": {"weight": jnp.ones((3, 2)), "bias": jnp.ones(2)}}
      >>> nn.count(params), nn.count(params, "**/bias")
      (8, 2)
    """
    chosen = mask(params, *(patterns or ("**",))) if params else {}
    sizes = jax.tree.map(
        lambda array, wanted: array.size if wanted else 0, dict(params), chosen
    )
    return sum(jax.tree.leaves(sizes))


def matching(
    what: str, paths: Collection[str], patterns: Collection[str]
) -> frozenset[str]:
    """The paths that match one of some patterns, which mean what they do in `mask`.

    Raises:
      LayerError: a pattern matches nothing.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        wanted = re.compile(_regex(pattern))
        found = [path for path in paths if wanted.fullmatch(path)]
        if not found:
            raise LayerError(
                f"no {what} match {pattern!r}; there are: {', '.join(paths) or 'none'}"
            )
        chosen.update(found)
    return frozenset(chosen)


def flat(params: Mapping[str, Any]) -> dict[str, Any]:
    """Lists nested dicts as one dict, with dots between the names.

    Args:
      params: nested dicts of arrays.

    Returns:
      {"conv1.weight": array, ...}, in the order of the nested dicts: the names of a
      PyTorch state dict.

    Raises:
      LayerError: a name has a dot in it.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> list(nn.flat({"conv1": {"weight": jnp.ones(3), "bias": jnp.ones(1)}}))
      ['conv1.weight', 'conv1.bias']
    """
    check_tree("params", params)
    listed: dict[str, Any] = {}
    for name, entry in params.items():
        if "." in name:
            raise LayerError(f"{name!r} has a dot in it, so it cannot be found again")
        if isinstance(entry, Mapping):
            listed |= {f"{name}.{rest}": leaf for rest, leaf in flat(entry).items()}
        else:
            listed[name] = entry
    return listed


def unflat(params: Mapping[str, Any]) -> Tree:
    """Undoes `flat`: makes nested dicts of one dict with dotted names.

    Raises:
      LayerError: a name stands for an array and for a dict.

    Example:
      >>> import lenetjax as nn
      >>> nn.unflat({"conv1.weight": 3, "conv1.bias": 1})
      {'conv1': {'weight': 3, 'bias': 1}}
    """
    nested: Tree = {}
    for path, leaf in params.items():
        *names, last = path.split(".")
        here = nested
        for name in names:
            here = here.setdefault(name, {})
            if not isinstance(here, dict):
                raise LayerError(f"{path!r} lies inside of an array, {name!r}")
        if last in here:
            raise LayerError(f"{path!r} is the name of an array and of a dict")
        here[last] = leaf
    return nested


def _marked(params: Mapping[str, Any], chosen: Collection[str], path: str = "") -> Tree:
    return {
        name: _marked(entry, chosen, f"{path}{name}/")
        if isinstance(entry, Mapping)
        else path + name in chosen
        for name, entry in params.items()
    }


def _regex(pattern: str) -> str:
    """The regular expression of a pattern."""
    parts = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        parts.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*|\?)", pattern)
    )
