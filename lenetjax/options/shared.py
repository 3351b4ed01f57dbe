"""Options that several commands have."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODELS = (
    "char_gru",
    "char_lstm",
    "lenet",
    "lenet5",
    "mlp",
    "resnet18",
    "resnet20",
    "vgg",
    "vit",
)

AddCommand = Callable[..., argparse.ArgumentParser]

MODEL: dict[str, Any] = {
    "choices": MODELS,
    "default": "lenet",
    "help": "default: lenet, the tutorial's net",
}

RUN_DIR: dict[str, Any] = {
    "type": Path,
    "metavar": "RUN_DIR",
    "help": "the folder that lenetjax train saved in",
}

DATA_DIR: dict[str, Any] = {
    "type": Path,
    "metavar": "PATH",
    "help": "the folder with the data's files (default: $LENETJAX_DATA for MNIST and "
    "its fashion-mnist and cifar-10 for those, the cache folder, or a download into "
    "it); of text, the file",
}
