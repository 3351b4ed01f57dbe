"""Whole nets, built from the layers."""

from lenetjax.models.lenet import lenet, lenet5
from lenetjax.models.mlp import mlp
from lenetjax.models.resnet import resnet, resnet20

__all__ = ["lenet", "lenet5", "mlp", "resnet", "resnet20"]
