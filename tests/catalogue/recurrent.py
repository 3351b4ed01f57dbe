"""Recurrent layers."""

import jax

import lenetjax as nn
from catalogue.case import Case, Ints

SEQUENCES = (2, 3, 2)


def with_lengths(net, x):
    return net.gru({"x": x["x"], "lengths": 3 - x["shorter_by"]})


CASES = [
    Case("rnn", nn.rnn(3), SEQUENCES, drawn=True),
    Case(
        "rnn of two layers without bias",
        nn.rnn(2, layers=2, bidirectional=True, bias=False),
        SEQUENCES,
        drawn=True,
    ),
    Case(
        "rnn with initializers",
        nn.rnn(
            2,
            weight_init=jax.nn.initializers.glorot_uniform(),
            bias_init=jax.nn.initializers.zeros,
        ),
        SEQUENCES,
        drawn=True,
    ),
    Case(
        "rnn with carry",
        nn.rnn(2),
        {"x": SEQUENCES, "carry": (1, 2, 2)},
        drawn=True,
        batched=False,
    ),
    Case("lstm", nn.lstm(3), SEQUENCES, drawn=True),
    Case(
        "lstm with dropout",
        nn.lstm(2, layers=2, dropout=0.4),
        SEQUENCES,
        random=True,
        drawn=True,
    ),
    Case(
        "lstm with carry",
        nn.lstm(2, layers=2),
        {"x": SEQUENCES, "carry": ((2, 2, 2), (2, 2, 2))},
        drawn=True,
        batched=False,
    ),
    Case("gru", nn.gru(3), SEQUENCES, drawn=True),
    Case(
        "gru of one layer with dropout", nn.gru(2, dropout=0.4), SEQUENCES, drawn=True
    ),
    Case(
        "compose gru with lengths",
        nn.compose(with_lengths, gru=nn.gru(2, bidirectional=True)),
        {"x": SEQUENCES, "shorter_by": Ints((2,), 3)},
        drawn=True,
        batched=False,
    ),
]
