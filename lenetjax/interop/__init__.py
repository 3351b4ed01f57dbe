"""From and to other libraries: their nets as layers, their weights as params."""

from lenetjax.interop.torch_parity import Parity, parity
from lenetjax.interop.torch_weights import from_torch, to_torch

__all__ = ["Parity", "from_torch", "parity", "to_torch"]
