"""From and to other libraries: their nets as layers, their weights as params."""

from lenetjax.interop import stax

__all__ = ["stax"]
