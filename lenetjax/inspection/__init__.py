"""Looking at a net: its layers in a table, its work in a graph, its numbers drawn."""

from lenetjax.inspection import figures
from lenetjax.inspection.graph import Graph, graph
from lenetjax.inspection.summary import Summary, summary

__all__ = ["Graph", "Summary", "figures", "graph", "summary"]
