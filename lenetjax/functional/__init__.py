"""Pure array functions: what the layers compute, without params of their own."""

from lenetjax.functional.activations import prelu
from lenetjax.functional.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    global_avg_pool,
    global_max_pool,
)
from lenetjax.functional.attention import (
    multi_head_attention,
    scaled_dot_product_attention,
)
from lenetjax.functional.batch_normalization import (
    batch_norm,
    batch_statistics,
)
from lenetjax.functional.convolution import (
    conv1d,
    conv2d,
    conv3d,
)
from lenetjax.functional.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    stochastic_depth,
)
from lenetjax.functional.embeddings import (
    embedding,
    rotary,
    sinusoidal_table,
)
from lenetjax.functional.linear import (
    bilinear,
    linear,
)
from lenetjax.functional.lp_pooling import lp_pool1d, lp_pool2d, lp_pool3d
from lenetjax.functional.normalization import (
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)
from lenetjax.functional.padding import pad
from lenetjax.functional.pooling import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from lenetjax.functional.recurrent import (
    gru_cell,
    lstm_cell,
    rnn_cell,
)
from lenetjax.functional.resampling import upsample
from lenetjax.functional.shaping import (
    channel_shuffle,
    flatten,
    pixel_shuffle,
    pixel_unshuffle,
    reshape,
    unflatten,
)
from lenetjax.functional.transposed_convolution import (
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from lenetjax.functional.weight_normalization import (
    spectral_norm,
    weight_norm,
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
    "batch_statistics",
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
    "gru_cell",
    "instance_norm",
    "layer_norm",
    "linear",
    "local_response_norm",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "lstm_cell",
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
    "rnn_cell",
    "rotary",
    "scaled_dot_product_attention",
    "sinusoidal_table",
    "spectral_norm",
    "stochastic_depth",
    "unflatten",
    "upsample",
    "weight_norm",
]
