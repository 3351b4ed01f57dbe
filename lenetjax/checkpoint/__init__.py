"""Trees of arrays on disk: written whole or not at all, and checked when read."""

from lenetjax.checkpoint.archive import DamagedFile
from lenetjax.checkpoint.folder import Checkpoint, Folder
from lenetjax.checkpoint.store import load, metadata, save

__all__ = ["Checkpoint", "DamagedFile", "Folder", "load", "metadata", "save"]
