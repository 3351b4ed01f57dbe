"""What each command of the command line does."""

from lenetjax.commands.describing import graph, summary
from lenetjax.commands.exporting import export
from lenetjax.commands.sweeping import sweep
from lenetjax.commands.trained import check, evaluate, figures, predict
from lenetjax.commands.training import train

__all__ = [
    "check",
    "evaluate",
    "export",
    "figures",
    "graph",
    "predict",
    "summary",
    "sweep",
    "train",
]
