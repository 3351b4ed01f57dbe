"""Embeddings, positions and attention."""

import jax

import lenetjax as nn
from catalogue.case import Bools, Case, Ints

SEQUENCES = (2, 3, 4)
HEADS = (2, 3, 2, 4)
SMALL = jax.nn.initializers.normal(0.02)
CROSS = {"query": (2, 3, 4), "key": (2, 5, 3), "value": (2, 5, 2)}

EMBEDDINGS = [
    Case("embedding", nn.embedding(5, 3), Ints((2, 4), below=5), drawn=True),
    Case(
        "embedding with padding",
        nn.embedding(5, 3, padding_idx=-1),
        Ints((2, 4), below=4),  # finite differences would see the padding's row
        drawn=True,
    ),
    Case(
        "embedding with an initializer",
        nn.embedding(4, 2, weight_init=SMALL),
        Ints((3,), below=4),
        drawn=True,
    ),
    Case("learned_positions", nn.learned_positions(3), SEQUENCES, drawn=True),
    Case(
        "learned_positions of the example",
        nn.learned_positions(),
        SEQUENCES,
        drawn=True,
    ),
    Case(
        "learned_positions unused",
        nn.learned_positions(7, weight_init=SMALL),
        SEQUENCES,
        drawn=True,
    ),
    Case("sinusoidal_positions", nn.sinusoidal_positions(), SEQUENCES),
    Case("sinusoidal_positions odd", nn.sinusoidal_positions(base=10.0), (2, 4, 5)),
    Case("rotary_positions", nn.rotary_positions(), HEADS),
    Case("rotary_positions of two", nn.rotary_positions(base=10.0), (2, 4, 1, 2)),
]
ATTENTION = [
    Case("multi_head_attention", nn.multi_head_attention(2), SEQUENCES, drawn=True),
    Case(
        "multi_head_attention causal",
        nn.multi_head_attention(2, causal=True, rotary=True, bias=False),
        SEQUENCES,
        drawn=True,
    ),
    Case(
        "multi_head_attention grouped",
        nn.multi_head_attention(4, features=8, kv_heads=2),
        {"query": SEQUENCES, "mask": Bools((2, 4, 3, 3))},
        drawn=True,
    ),
    Case(
        "multi_head_attention cross",
        nn.multi_head_attention(2, weight_init=SMALL, bias_init=SMALL),
        {**CROSS, "mask": Bools((2, 1, 1, 5))},
        drawn=True,
    ),
    Case(
        "multi_head_attention dropout",
        nn.multi_head_attention(2, dropout=0.3),
        SEQUENCES,
        random=True,
        drawn=True,
    ),
]
BLOCKS = [
    Case(
        "transformer_encoder_block",
        nn.transformer_encoder_block(2, hidden=6),
        SEQUENCES,
        random=True,
        drawn=True,
    ),
    Case(
        "transformer_encoder_block of gelu",
        nn.transformer_encoder_block(
            2, hidden=5, activation="gelu", norm_first=True, dropout=0.0, causal=True
        ),
        SEQUENCES,
        drawn=True,
    ),
    Case(
        "transformer_encoder_block masked",
        nn.transformer_encoder_block(
            1, hidden=3, dropout=0.0, weight_init=SMALL, bias_init=SMALL
        ),
        {"x": SEQUENCES, "mask": Bools((2, 1, 1, 3))},
        drawn=True,
    ),
]
CASES = [*EMBEDDINGS, *ATTENTION, *BLOCKS]
