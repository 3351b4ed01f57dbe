"""What a training on the command line is about: its data, and a net for them."""

import argparse
from typing import NamedTuple

import jax

from lenetjax.commands.nets import check_fit, model
from lenetjax.commands.sources import Source, source
from lenetjax.commands.trained import need_matplotlib
from lenetjax.core import Layer
from lenetjax.data import Dataset


class Chosen(NamedTuple):
    """Data and a net that go together."""

    kind: Source
    data: Dataset
    vocabulary: str | None
    net: Layer


def choose(options: argparse.Namespace) -> Chosen:
    """Reads the data and builds the net; the data's defaults become options.

    Raises:
      ValueError: they do not go together.
      ImportError: nothing can draw pictures.
    """
    kind = source(options.data)
    options.model = options.model or kind.model
    options.optimizer = options.optimizer or kind.optimizer
    options.epochs = options.epochs or kind.epochs
    options.batch_size = options.batch_size or kind.batch_size
    check_fit(options.model, options.data)
    need_matplotlib(options.command)  # before the work, not after it
    jax.devices()  # a platform that is not there is said before the work
    found, vocabulary = kind.load(options.data_dir)
    size = None if vocabulary is None else len(vocabulary)
    net = model(options.model, size, getattr(options, "precision", "float32"))
    return Chosen(kind, found, vocabulary, net)
