"""Layers: `init` and `apply` pairs over the functions of `lenetjax.functional`."""

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

__all__ = [
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
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "embedding",
    "flatten",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "gru",
    "instance_norm",
    "layer_norm",
    "learned_positions",
    "linear",
    "local_response_norm",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "lstm",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "multi_head_attention",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "reshape",
    "rms_norm",
    "rnn",
    "rotary_positions",
    "sinusoidal_positions",
    "stochastic_depth",
    "transformer_encoder_block",
    "transpose",
    "unflatten",
    "upsample",
]
