"""From and to other libraries: their nets as layers, their weights as params, files."""

from lenetjax.interop.exporting import export, save_exported
from lenetjax.interop.portability import portable
from lenetjax.interop.pretrained import load_pretrained, save_pretrained
from lenetjax.interop.torch_parity import Parity, parity
from lenetjax.interop.torch_weights import from_torch, to_torch

__all__ = [
    "Parity",
    "export",
    "from_torch",
    "load_pretrained",
    "parity",
    "portable",
    "save_exported",
    "save_pretrained",
    "to_torch",
]
