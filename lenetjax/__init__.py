"""Neural networks as pure functions, in JAX: `init` and `apply` over plain dicts.

The public names are imported at their first use, so that the command line can answer
``lenetjax --help`` without importing jax.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lenetjax import (
        checkpoint,
        data,
        functional,
        inspection,
        interop,
        losses,
        metrics,
        models,
        sharding,
        testing,
        tracking,
    )
    from lenetjax.callbacks import Callback
    from lenetjax.combinators import branch, compose, parallel, residual, serial
    from lenetjax.core import Layer, LayerError, layer, no_params
    from lenetjax.description import build, describe
    from lenetjax.fitting import Fit, fit
    from lenetjax.inspection.graph import graph
    from lenetjax.inspection.memory import memory
    from lenetjax.inspection.summary import summary
    from lenetjax.keeping import NotFinite
    from lenetjax.layers.activations import prelu
    from lenetjax.layers.adaptive_pooling import (
        adaptive_avg_pool1d,
        adaptive_avg_pool2d,
        adaptive_avg_pool3d,
        adaptive_max_pool1d,
        adaptive_max_pool2d,
        adaptive_max_pool3d,
        global_avg_pool,
        global_max_pool,
    )
    from lenetjax.layers.attention import multi_head_attention
    from lenetjax.layers.batch_normalization import batch_norm
    from lenetjax.layers.convolution import (
        conv1d,
        conv2d,
        conv3d,
    )
    from lenetjax.layers.dropout import (
        alpha_dropout,
        dropout,
        dropout1d,
        dropout2d,
        dropout3d,
        stochastic_depth,
    )
    from lenetjax.layers.embeddings import (
        embedding,
        learned_positions,
        rotary_positions,
        sinusoidal_positions,
    )
    from lenetjax.layers.linear import (
        bilinear,
        linear,
    )
    from lenetjax.layers.normalization import (
        group_norm,
        instance_norm,
        layer_norm,
        local_response_norm,
        rms_norm,
    )
    from lenetjax.layers.pooling import (
        avg_pool1d,
        avg_pool2d,
        avg_pool3d,
        lp_pool1d,
        lp_pool2d,
        lp_pool3d,
        max_pool1d,
        max_pool2d,
        max_pool3d,
    )
    from lenetjax.layers.recurrent import (
        gru,
        lstm,
        rnn,
    )
    from lenetjax.layers.resampling import upsample
    from lenetjax.layers.shaping import (
        channel_shuffle,
        flatten,
        pad,
        pixel_shuffle,
        pixel_unshuffle,
        reshape,
        transpose,
        unflatten,
    )
    from lenetjax.layers.transformer import transformer_encoder_block
    from lenetjax.layers.transposed_convolution import (
        conv_transpose1d,
        conv_transpose2d,
        conv_transpose3d,
    )
    from lenetjax.members import Member, Sweep
    from lenetjax.scaling import loss_scaling
    from lenetjax.sweeping import sweep
    from lenetjax.training import (
        TrainState,
        eval_step,
        predict,
        predict_step,
        train_state,
        train_step,
    )
    from lenetjax.trees import count, flat, mask, unflat
    from lenetjax.wrappers import (
        ensemble,
        mixed_precision,
        remat,
        repeat,
        spectral_norm,
        tapped,
        taps,
        weight_norm,
    )

__all__ = [
    "Callback",
    "Fit",
    "Layer",
    "LayerError",
    "Member",
    "NotFinite",
    "Sweep",
    "TrainState",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bilinear",
    "branch",
    "build",
    "channel_shuffle",
    "checkpoint",
    "compose",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "count",
    "data",
    "describe",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "embedding",
    "ensemble",
    "eval_step",
    "fit",
    "flat",
    "flatten",
    "functional",
    "global_avg_pool",
    "global_max_pool",
    "graph",
    "group_norm",
    "gru",
    "inspection",
    "instance_norm",
    "interop",
    "layer",
    "layer_norm",
    "learned_positions",
    "linear",
    "local_response_norm",
    "loss_scaling",
    "losses",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "lstm",
    "mask",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "memory",
    "metrics",
    "mixed_precision",
    "models",
    "multi_head_attention",
    "no_params",
    "pad",
    "parallel",
    "pixel_shuffle",
    "pixel_unshuffle",
    "predict",
    "predict_step",
    "prelu",
    "remat",
    "repeat",
    "reshape",
    "residual",
    "rms_norm",
    "rnn",
    "rotary_positions",
    "serial",
    "sharding",
    "sinusoidal_positions",
    "spectral_norm",
    "stochastic_depth",
    "summary",
    "sweep",
    "tapped",
    "taps",
    "testing",
    "tracking",
    "train_state",
    "train_step",
    "transformer_encoder_block",
    "transpose",
    "unflat",
    "unflatten",
    "upsample",
    "weight_norm",
]

_MODULES = (
    "checkpoint",
    "data",
    "functional",
    "inspection",
    "interop",
    "losses",
    "metrics",
    "models",
    "sharding",
    "testing",
    "tracking",
)
_HOMES = (
    "core",
    "combinators",
    "wrappers",
    "layers",
    "trees",
    "scaling",
    "training",
    "callbacks",
    "fitting",
    "keeping",
    "sweeping",
    "description",
    "inspection",
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"lenetjax.{name}")
    if name in __all__:
        for home in _HOMES:
            value = getattr(import_module(f"lenetjax.{home}"), name, None)
            if value is not None:
                globals()[name] = value
                return value
    raise AttributeError(f"module 'lenetjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
