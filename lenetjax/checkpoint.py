"""Params and state on disk: one safetensors file, written whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from lenetjax.specs import shapes_text

Tree = dict[str, Any]
DTYPES = {  # safetensors.numpy reads no bfloat16
    "BOOL": np.dtype(bool),
    "BF16": np.dtype(jnp.bfloat16),
    **{f"F{bits}": np.dtype(f"f{bits // 8}") for bits in (16, 32, 64)},
    **{f"I{bits}": np.dtype(f"i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"U{bits}": np.dtype(f"u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"C{bits}": np.dtype(f"c{bits // 8}") for bits in (64, 128)},
}
LARGEST_HEADER = 1_000_000  # bytes; LeNet's has about a thousand


def save(
    path: str | os.PathLike[str], tree: Tree, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes nested dicts of arrays to a safetensors file, under dotted names.

    The file appears whole or not at all: it is written beside the target, flushed to
    the disk and renamed.

    Args:
      path: the file to write; an old one is replaced.
      tree: nested dicts of arrays, such as params; names have no "." in them.
      metadata: strings to keep in the file's header.

    Raises:
      OSError: it cannot be written; an old file is still there.
      ValueError: something in the tree is no array, or two entries share a name.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> params = {"fc": {"bias": jnp.ones(2)}}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     nn.checkpoint.save(f"{folder}/model.safetensors", params)
      ...     nn.checkpoint.load(f"{folder}/model.safetensors")
      {'fc': {'bias': Array([1., 1.], dtype=float32)}}
    """
    from safetensors.numpy import save as to_bytes

    arrays = {name: _contiguous(name, array) for name, array in _flat(tree)}
    content = to_bytes(arrays, dict(metadata or {}))
    write_whole(Path(path), content)


def load(path: str | os.PathLike[str], like: Tree | None = None) -> Tree:
    """Reads what `save` wrote.

    Args:
      path: a safetensors file.
      like: the tree to expect: arrays or `jax.ShapeDtypeStruct`s. Every difference in
        names, shapes and dtypes is reported before any array is used.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is no safetensors file, or it differs from `like`.
    """
    from safetensors import SafetensorError, deserialize

    content = Path(path).read_bytes()
    if len(content) < 8 or int.from_bytes(content[:8], "little") > LARGEST_HEADER:
        raise ValueError(f"{path}: this is no safetensors file")
    try:
        arrays = {name: _array(entry) for name, entry in deserialize(content)}
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: this is no whole safetensors file: {error}"
        ) from None
    if like is not None:
        _refuse_differences(path, arrays, like)
    tree: Tree = {}
    for name, array in arrays.items():
        *parents, last = name.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = jnp.asarray(array)
    return tree


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that after a crash is the old one or the new one, never a part."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flat(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, entry in tree.items():
        if "." in name:
            raise ValueError(
                f"{prefix}{name}: a name in a file cannot have a '.' in it"
            )
        if isinstance(entry, Mapping):
            yield from _flat(dict(entry), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", entry


def _contiguous(name: str, array: Any) -> np.ndarray[Any, Any]:
    # safetensors 0.8 writes arrays that are not contiguous wrongly
    values = np.asarray(array, order="C")
    if values.dtype.hasobject or values.dtype.kind in "US":
        raise ValueError(f"{name}: expected an array, got {shapes_text(array)}")
    return values


def _array(entry: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    dtype = DTYPES[entry["dtype"]]
    return np.frombuffer(entry["data"], dtype).reshape(entry["shape"])


def _refuse_differences(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], like: Tree
) -> None:
    want = {name: shapes_text(spec) for name, spec in _flat(like)}
    have = {name: shapes_text(array) for name, array in arrays.items()}
    differences = [
        f"{name}: expected {want.get(name, 'nothing')}, got {have.get(name, 'nothing')}"
        for name in dict.fromkeys([*want, *have])
        if want.get(name) != have.get(name)
    ]
    if differences:
        raise ValueError(
            f"{path} does not hold what this net needs:\n  " + "\n  ".join(differences)
        )
