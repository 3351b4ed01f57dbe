"""One tree in one file."""

import functools
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.checkpoint import archive
from lenetjax.checkpoint.archive import DamagedFile
from lenetjax.checkpoint.files import write_whole
from lenetjax.checkpoint.names import Tree, named
from lenetjax.specs import is_random_key, shapes_text
from lenetjax.trees import unflat

FORMAT, VERSIONS, KEYS = "format", "versions", "random_keys"
OURS = (FORMAT, VERSIONS, KEYS, archive.DIGEST)
FORMAT_NOW = "lenetjax 1"


def save(
    path: str | os.PathLike[str], tree: Tree, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes any pytree of arrays to a safetensors file, under dotted names.

    The file appears whole or not at all: it is written beside the target, flushed to
    the disk and renamed. Its header has a sha256 of all its bytes, the format and the
    versions of lenetjax, jax and Python.

    Args:
      path: the file to write; an old one is replaced.
      tree: arrays in dicts, tuples, lists and named tuples: params, a `TrainState`,
        anything of the kind, random keys and Python numbers included. A dict's names
        have no "." in them.
      metadata: strings to keep in the header.

    Raises:
      OSError: it cannot be written; an old file is still there.
      ValueError: something in the tree is no array, two entries would share a name, or
        there are more names than a header holds (some 8,000).

    Example:
      >>> import tempfile, jax.numpy as jnp, lenetjax as nn
      >>> params = {"fc": {"bias": jnp.ones(2)}}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     nn.checkpoint.save(f"{folder}/model.safetensors", params)
      ...     nn.checkpoint.load(f"{folder}/model.safetensors")
      {'fc': {'bias': Array([1., 1.], dtype=float32)}}
    """
    write_whole(Path(path), _to_bytes(named(tree), metadata or {}))


def load(path: str | os.PathLike[str], like: Tree = None) -> Tree:
    """Reads what `save` wrote, after its digest was found right.

    Args:
      path: the file.
      like: the tree to expect, of arrays or `jax.ShapeDtypeStruct`s. Every difference
        in names, shapes and dtypes is reported before any array is used.

    Returns:
      The arrays in the structure of `like`; without it in nested dicts, where a tuple
      has become a dict with "0", "1", ... and a named tuple one with its fields' names.
      Arrays are JAX's, or NumPy's where JAX holds no such dtype (64 bits without x64).

    Raises:
      OSError: the file cannot be read.
      DamagedFile: a ValueError: the file is damaged, or no file that `save` wrote.
      ValueError: it differs from `like`.

    Example:
      >>> import tempfile, jax.numpy as jnp, lenetjax as nn
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     nn.checkpoint.save(f"{folder}/pair", (jnp.ones(2), jnp.zeros(1)))
      ...     nn.checkpoint.load(f"{folder}/pair", like=(jnp.ones(2), jnp.zeros(1)))
      (Array([1., 1.], dtype=float32), Array([0.], dtype=float32))
    """
    tree, _ = load_with_metadata(Path(path), like)
    return tree


def metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The strings that `save` was given for the header, after the checks of `load`.

    Raises:
      OSError: the file cannot be read.
      DamagedFile: a ValueError: the file is damaged, or no file that `save` wrote.

    Example:
      >>> import tempfile, jax.numpy as jnp, lenetjax as nn
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     nn.checkpoint.save(f"{folder}/m", {"a": jnp.ones(2)}, {"data": "mnist"})
      ...     nn.checkpoint.metadata(f"{folder}/m")
      {'data': 'mnist'}
    """
    _, found = archive.read(Path(path))
    return without_ours(found)


def load_with_metadata(path: Path, like: Tree = None) -> tuple[Tree, dict[str, str]]:
    """The tree as `load` gives it, and all strings of the header."""
    arrays, found = archive.read(path)
    if found.get(FORMAT) != FORMAT_NOW:
        raise DamagedFile(
            f"{path} has format {found.get(FORMAT)!r}; this version reads "
            f"{FORMAT_NOW!r}"
        )
    try:
        kinds = _kinds_of_keys(found)
        leaves = {name: _leaf(array, kinds.get(name)) for name, array in arrays.items()}
        if like is None:
            return unflat(leaves), found
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedFile(f"{path} is no file that save wrote: {error}") from None
    expected = named(like)
    _refuse_differences(path, leaves, expected)
    structure = jax.tree.structure(like)
    return jax.tree.unflatten(structure, [leaves[name] for name in expected]), found


@functools.cache
def versions() -> dict[str, str]:
    """The versions of what wrote a file."""
    return {
        "lenetjax": version("lenetjax"),
        "jax": jax.__version__,
        "python": platform.python_version(),
    }


def without_ours(found: Mapping[str, str]) -> dict[str, str]:
    """The strings of a header that the user gave."""
    return {name: text for name, text in found.items() if name not in OURS}


def _to_bytes(leaves: Mapping[str, Any], extra: Mapping[str, str]) -> bytes:
    if taken := set(OURS) & set(extra):
        raise ValueError(f"metadata has names that are used already: {sorted(taken)}")
    kinds = {
        name: str(jax.random.key_impl(leaf))
        for name, leaf in leaves.items()
        if is_random_key(leaf)
    }
    ours = {
        FORMAT: FORMAT_NOW,
        VERSIONS: json.dumps(versions()),
        KEYS: json.dumps(kinds),
    }
    arrays = {name: _plain(name, leaf) for name, leaf in leaves.items()}
    return archive.to_bytes(arrays, {**ours, **extra})


def _plain(name: str, leaf: Any) -> np.ndarray[Any, Any]:
    values = jax.random.key_data(leaf) if is_random_key(leaf) else leaf
    # safetensors 0.8 writes arrays that are not contiguous wrongly
    array = np.asarray(values, order="C")
    if array.dtype.hasobject or array.dtype.kind in "US":
        raise ValueError(f"{name}: expected an array, got {shapes_text(leaf)}")
    if array.dtype.byteorder == ">":
        return array.astype(array.dtype.newbyteorder("="))
    return array


def _kinds_of_keys(found: Mapping[str, str]) -> dict[str, str]:
    kinds = json.loads(found.get(KEYS, "{}"))
    if not isinstance(kinds, dict) or any(type(k) is not str for k in kinds.values()):
        raise ValueError(f"{KEYS} is no table of names")
    return kinds


def _leaf(array: np.ndarray[Any, Any], kind_of_key: str | None) -> Any:
    if kind_of_key is not None:
        return jax.random.wrap_key_data(jnp.asarray(array), impl=kind_of_key)
    if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
        return array.copy()
    return jnp.asarray(array)


def _refuse_differences(
    path: Path, leaves: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    want = {name: _text(leaf) for name, leaf in expected.items()}
    have = {name: _text(leaf) for name, leaf in leaves.items()}
    differences = [
        f"{name if name.isprintable() else repr(name)}: expected "
        f"{want.get(name, 'nothing')}, got {have.get(name, 'nothing')}"
        for name in dict.fromkeys([*want, *have])
        if want.get(name) != have.get(name)
    ]
    if differences:
        raise ValueError(
            f"{path} does not hold what is needed:\n  " + "\n  ".join(differences)
        )


def _text(leaf: Any) -> str:
    return shapes_text(leaf if hasattr(leaf, "dtype") else np.asarray(leaf))
