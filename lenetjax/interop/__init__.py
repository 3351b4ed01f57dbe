"""From and to other libraries: their nets as layers, their weights as params."""

from lenetjax.interop.torch_weights import from_torch, to_torch

__all__ = ["from_torch", "to_torch"]
