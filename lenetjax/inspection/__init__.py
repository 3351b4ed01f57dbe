"""Looking at a net: its layers as a table, its numbers as pictures."""

from lenetjax.inspection import figures
from lenetjax.inspection.class_activation import class_activation_maps
from lenetjax.inspection.loss_surface import (
    Landscape,
    loss_landscape,
    random_direction,
)
from lenetjax.inspection.saliency import saliency_maps
from lenetjax.inspection.summary import Summary, summary

__all__ = [
    "Landscape",
    "Summary",
    "class_activation_maps",
    "figures",
    "loss_landscape",
    "random_direction",
    "saliency_maps",
    "summary",
]
