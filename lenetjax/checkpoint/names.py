"""The leaves of a pytree under dotted names."""

from typing import Any

import jax

Tree = Any  # any pytree


def named(tree: Tree) -> dict[str, Any]:
    """The leaves, under ``conv1.weight`` in dicts, ``0.mu.fc.bias`` in optax's states.

    Raises:
      ValueError: a dict's key is no str or int, or has a "." in it, or two leaves would
        have the same name.
    """
    found: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = ".".join(map(_part, path))
        if name in found:
            raise ValueError(f"two entries of the tree would be named {name!r}")
        found[name] = leaf
    return found


def _part(key: Any) -> str:
    if isinstance(key, jax.tree_util.DictKey):
        if isinstance(key.key, bool) or not isinstance(key.key, str | int):
            raise ValueError(f"a name in a file is a str or an int, got {key.key!r}")
        if "." in str(key.key):
            raise ValueError(f"{key.key}: a name in a file cannot have a '.' in it")
        return str(key.key)
    if isinstance(key, jax.tree_util.SequenceKey):
        return str(key.idx)
    if isinstance(key, jax.tree_util.GetAttrKey):
        return str(key.name)
    if isinstance(key, jax.tree_util.FlattenedIndexKey):
        return str(key.key)
    return str(key)
