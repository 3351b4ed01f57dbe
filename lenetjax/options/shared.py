"""Options that several commands have."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODELS = ("lenet", "lenet5", "mlp", "resnet18", "resnet20", "vgg", "vit")

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
    "help": "the folder with the MNIST files (default: $LENETJAX_DATA, the cache "
    "folder, or a download into it)",
}
