"""The libraries that are compared, each written as its own users would write it.

This file only lists them: the process that measures reads it, and it must stay free of
what the libraries import.
"""

from importlib.util import find_spec
from typing import NamedTuple

OURS = "lenetjax"


class Peer(NamedTuple):
    """A way to write and train the nets.

    Fields:
      module: the file in this package that does it.
      family: "jax" or "torch".
      packages: what has to be installed: the name to import, and the one to install.
      variant: which of the module's ways, where it has several.
    """

    module: str
    family: str
    packages: tuple[tuple[str, str], ...]
    variant: str = ""

    def missing(self) -> str | None:
        """Why it cannot be measured here, or None."""
        for name, package in self.packages:
            if find_spec(name) is None:
                return f"{package} is not installed"
        return None


TORCH = (("torch", "torch"),)
PEERS = {
    OURS: Peer("ours", "jax", ()),
    "torch": Peer("pytorch", "torch", TORCH, "eager"),
    "torch channels_last": Peer("pytorch", "torch", TORCH, "channels_last"),
    "torch.compile": Peer("pytorch", "torch", TORCH, "compile"),
    "stax": Peer("stax", "jax", ()),
    "haiku": Peer("haiku", "jax", (("haiku", "dm-haiku"),)),
    "linen": Peer("linen", "jax", (("flax", "flax"),)),
    "nnx": Peer("nnx", "jax", (("flax", "flax"),)),
    "equinox": Peer("equinox", "jax", (("equinox", "equinox"),)),
}
