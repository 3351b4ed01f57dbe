"""Layers made of one layer, whose params keep the names that they have without it."""

from lenetjax.wrappers.copies import ensemble, repeat
from lenetjax.wrappers.precision import mixed_precision
from lenetjax.wrappers.recomputing import remat
from lenetjax.wrappers.tapping import tapped, taps
from lenetjax.wrappers.weights import spectral_norm, weight_norm

__all__ = [
    "ensemble",
    "mixed_precision",
    "remat",
    "repeat",
    "spectral_norm",
    "tapped",
    "taps",
    "weight_norm",
]
