"""Looking at a net: its layers in a table, its work in a graph, its numbers drawn."""

from lenetjax.inspection import figures
from lenetjax.inspection.class_activation import class_activation_maps
from lenetjax.inspection.graph import Graph, graph
from lenetjax.inspection.loss_surface import (
    Landscape,
    loss_landscape,
    random_direction,
)
from lenetjax.inspection.memory import Memory, ProgramMemory, memory
from lenetjax.inspection.saliency import saliency_maps
from lenetjax.inspection.summary import Summary, summary

__all__ = [
    "Graph",
    "Landscape",
    "Memory",
    "ProgramMemory",
    "Summary",
    "class_activation_maps",
    "figures",
    "graph",
    "loss_landscape",
    "memory",
    "random_direction",
    "saliency_maps",
    "summary",
]
