"""From and to other libraries: programs and files that they can read."""

from lenetjax.interop.exporting import export, save_exported
from lenetjax.interop.portability import portable
from lenetjax.interop.pretrained import load_pretrained, save_pretrained

__all__ = [
    "export",
    "load_pretrained",
    "portable",
    "save_exported",
    "save_pretrained",
]
