"""Normalization and dropout."""

import jax

import lenetjax as nn
from catalogue.case import Case

IMAGES = (2, 3, 4, 4)
SEQUENCES = (2, 5, 6)
NORMAL = jax.nn.initializers.normal(1.0)

NORMS = [
    Case("batch_norm drawn", nn.batch_norm(weight_init=NORMAL), (4, 3), state=True,
         drawn=True),
    Case("layer_norm", nn.layer_norm(), SEQUENCES),
    Case("layer_norm flat", nn.layer_norm(eps=0.1), (3, 5)),
    Case("layer_norm of images", nn.layer_norm(axes=3), IMAGES),
    Case("layer_norm without params", nn.layer_norm(affine=False), SEQUENCES),
    Case(
        "layer_norm drawn",
        nn.layer_norm(axes=2, weight_init=NORMAL, bias_init=NORMAL),
        SEQUENCES,
        drawn=True,
    ),
    Case("rms_norm", nn.rms_norm(), SEQUENCES),
    Case("rms_norm of two axes", nn.rms_norm(axes=2, eps=1e-3), IMAGES),
    Case("rms_norm without params", nn.rms_norm(affine=False), SEQUENCES),
    Case("rms_norm drawn", nn.rms_norm(weight_init=NORMAL), SEQUENCES, drawn=True),
    Case("group_norm", nn.group_norm(2), IMAGES),
    Case("group_norm of one group", nn.group_norm(1, eps=0.1), SEQUENCES),
    Case("group_norm by channel", nn.group_norm(4, affine=False), IMAGES),
    Case("group_norm flat", nn.group_norm(2), (3, 6)),
    Case(
        "group_norm drawn",
        nn.group_norm(2, weight_init=NORMAL, bias_init=NORMAL),
        IMAGES,
        drawn=True,
    ),
    Case("instance_norm", nn.instance_norm(), IMAGES),
    Case("instance_norm of sequences", nn.instance_norm(eps=0.1), SEQUENCES),
    Case(
        "instance_norm drawn",
        nn.instance_norm(affine=True, weight_init=NORMAL, bias_init=NORMAL),
        IMAGES,
        drawn=True,
    ),
    Case("local_response_norm", nn.local_response_norm(3, alpha=0.5), IMAGES),
    Case(
        "local_response_norm even",
        nn.local_response_norm(2, alpha=1.5, beta=0.5, k=2.0),
        SEQUENCES,
    ),
    Case("local_response_norm wide", nn.local_response_norm(9, alpha=2.0), (3, 4)),
]  # fmt: skip
DROPOUTS = [
    Case("dropout1d", nn.dropout1d(0.5), (3, 2, 8), random=True),
    Case("dropout1d none", nn.dropout1d(0.0), (2, 3, 4)),
    Case("dropout2d", nn.dropout2d(0.3), (3, 2, 2, 8), random=True),
    Case("dropout2d all", nn.dropout2d(1.0), (2, 2, 3, 4)),
    Case("dropout3d", nn.dropout3d(0.6), (3, 1, 2, 2, 8), random=True),
    Case("dropout3d little", nn.dropout3d(0.1), (4, 2, 1, 1, 9), random=True),
    Case("alpha_dropout", nn.alpha_dropout(0.5), (3, 8), random=True),
    Case("alpha_dropout little", nn.alpha_dropout(0.1), (2, 3, 9), random=True),
    Case("alpha_dropout all", nn.alpha_dropout(1.0), (2, 3)),
    Case("stochastic_depth", nn.stochastic_depth(0.5), (16, 2), random=True),
    Case("stochastic_depth little", nn.stochastic_depth(0.2), (16, 1, 3), random=True),
    Case("stochastic_depth none", nn.stochastic_depth(0.0), (2, 3)),
]
CASES = [*NORMS, *DROPOUTS]
