"""From and to other libraries: their nets as layers, their weights as params."""

from lenetjax.interop import stax
from lenetjax.interop.equinox_weights import equinox_state_dict
from lenetjax.interop.flax_nets import from_flax
from lenetjax.interop.haiku_nets import from_haiku
from lenetjax.interop.naming import from_dicts, to_dicts
from lenetjax.interop.nnx_weights import from_nnx
from lenetjax.interop.pairs import from_stax, to_stax

__all__ = [
    "equinox_state_dict",
    "from_dicts",
    "from_flax",
    "from_haiku",
    "from_nnx",
    "from_stax",
    "stax",
    "to_dicts",
    "to_stax",
]
