"""Looking at a net: its layers as a table, its numbers as pictures."""

from lenetjax.inspection import figures
from lenetjax.inspection.summary import Summary, summary

__all__ = ["Summary", "figures", "summary"]
