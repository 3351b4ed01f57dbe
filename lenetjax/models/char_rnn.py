"""A recurrent net that foretells the next character."""

from typing import Literal

from lenetjax.combinators import serial
from lenetjax.core import Layer
from lenetjax.functional.arguments import choice
from lenetjax.layers import embedding, gru, linear, lstm

CELLS = {"lstm": lstm, "gru": gru}


def char_rnn(
    vocabulary: int,
    *,
    cell: Literal["lstm", "gru"] = "lstm",
    features: int = 128,
    layers: int = 1,
) -> Layer:
    """Builds a net that reads characters and says which one comes after each.

    Each character's number gets a learned vector, recurrent layers read them from the
    first to the last, and a linear layer turns what they hold into scores for all
    characters. It is trained with the text one character further as the labels.

    Args:
      vocabulary: how many characters, or other tokens, there are.
      cell: "lstm" or "gru".
      features: the size of the vectors and of the hidden states.
      layers: how many recurrent layers stand above each other.

    Input: (batch, length), ints from 0 to vocabulary - 1.
    Output: logits (batch, length, vocabulary), each of what comes next.
    Params: embed: weight (vocabulary, features); rnn, as in `lstm` or `gru`; fc: weight
      and bias.

    Raises:
      LayerError: a size is no positive int, or the cell unknown; later, as `embedding`.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> text = jnp.array([[0, 1, 2, 1, 0, 1, 2, 1]])
      >>> net = nn.models.char_rnn(3, cell="gru", features=16)
      >>> params = net.init(jax.random.key(0), text[:, :-1])
      >>> logits = net.apply(params, text[:, :-1])
      >>> nn.losses.cross_entropy(logits, text[:, 1:]).shape
      ()

    Reference: Graves, "Generating Sequences With Recurrent Neural Networks", 2013.
    """
    choice("cell", cell, tuple(CELLS))
    return serial(
        embed=embedding(vocabulary, features),
        rnn=CELLS[cell](features, layers=layers),
        fc=linear(vocabulary),
    )
