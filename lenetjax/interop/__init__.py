"""From and to other libraries: their nets as layers, their weights as params, files."""

from lenetjax.interop import stax
from lenetjax.interop.equinox_weights import equinox_state_dict
from lenetjax.interop.exporting import export, save_exported
from lenetjax.interop.flax_nets import from_flax
from lenetjax.interop.haiku_nets import from_haiku
from lenetjax.interop.naming import from_dicts, to_dicts
from lenetjax.interop.nnx_weights import from_nnx
from lenetjax.interop.pairs import from_stax, to_stax
from lenetjax.interop.portability import portable
from lenetjax.interop.pretrained import load_pretrained, save_pretrained
from lenetjax.interop.torch_parity import Parity, parity
from lenetjax.interop.torch_weights import from_torch, to_torch

__all__ = [
    "Parity",
    "equinox_state_dict",
    "export",
    "from_dicts",
    "from_flax",
    "from_haiku",
    "from_nnx",
    "from_stax",
    "from_torch",
    "load_pretrained",
    "parity",
    "portable",
    "save_exported",
    "save_pretrained",
    "stax",
    "to_dicts",
    "to_stax",
    "to_torch",
]
