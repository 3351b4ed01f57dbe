"""Whole nets, built from the layers."""

from lenetjax.models.char_rnn import char_rnn
from lenetjax.models.lenet import lenet, lenet5
from lenetjax.models.mlp import mlp
from lenetjax.models.resnet import resnet, resnet18, resnet20
from lenetjax.models.vgg import vgg
from lenetjax.models.vit import vit

__all__ = [
    "char_rnn",
    "lenet",
    "lenet5",
    "mlp",
    "resnet",
    "resnet18",
    "resnet20",
    "vgg",
    "vit",
]
