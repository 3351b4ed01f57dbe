"""Reads what holds a net's weights in PyTorch, without loading a pickle."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lenetjax.checkpoint import archive
from lenetjax.core import LayerError

Array = np.ndarray[Any, Any]

CONVERT = """Convert it once, where PyTorch is installed:
  import torch, safetensors.torch
  tensors = torch.load({path!r}, weights_only=True, map_location="cpu")
  tensors = {{name: t.clone().contiguous() for name, t in tensors.items()}}
  safetensors.torch.save_file(tensors, "weights.safetensors")"""


def read_arrays(source: Any) -> dict[str, Array]:
    """The arrays of a state dict by name.

    Args:
      source: a mapping of arrays or tensors, the path of a safetensors file, or a
        module of PyTorch's.

    Raises:
      LayerError: it is something else, or holds something else than arrays.
      OSError: the file cannot be read.
    """
    if isinstance(source, (str, os.PathLike)):
        return _read_file(Path(source))
    if callable(getattr(source, "state_dict", None)):
        source = source.state_dict()
    if not isinstance(source, Mapping):
        raise LayerError(
            "expected a state dict, a torch module or the path of a safetensors file, "
            f"got {type(source).__name__}"
        )
    return {_name(name): as_numpy(name, entry) for name, entry in source.items()}


def as_numpy(name: str, entry: Any) -> Array:
    """One array or tensor as an array of NumPy's.

    Raises:
      LayerError: it is neither.
    """
    if callable(getattr(entry, "detach", None)):  # a tensor, perhaps on a GPU
        entry = entry.detach().cpu()
        if "float8" in str(entry.dtype) or str(entry.dtype) == "torch.bfloat16":
            entry = entry.float()  # NumPy does not know these
        entry = entry.numpy()
    if isinstance(entry, Mapping):
        raise LayerError(
            f"{name!r} is a dict of its own, with {', '.join(map(str, entry))[:200]}: "
            f"give the state dict alone, such as checkpoint[{name!r}]"
        )
    if not hasattr(entry, "shape") or not hasattr(entry, "dtype"):
        raise LayerError(f"{name!r}: expected an array, got {type(entry).__name__}")
    array = np.asarray(entry)
    if array.dtype.kind not in "fiubV":
        raise LayerError(f"{name!r}: expected numbers, got {array.dtype}")
    return array


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise LayerError(f"a state dict has names, got {name!r} as one")
    return name


def _read_file(path: Path) -> dict[str, Array]:
    if path.is_dir():
        raise LayerError(f"{path} is a folder; give a file in it")
    try:
        return archive.read_foreign(path)
    except archive.DamagedFile as error:
        raise LayerError(
            f"{error}. A pickle (.pt, .pth, .bin, .ckpt) is not read, as it can run "
            f"any code. {CONVERT.format(path=str(path))}"
        ) from None
