"""PyTorch: eager, eager with channels last in memory, and `torch.compile`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.peers.layouts import Block, blocks, features_first, place
from benchmarks.peers.trainer import Trainer
from benchmarks.setup import (
    CLASSES,
    EPSILON,
    KERNELS,
    LEARNING_RATE,
    MOMENTUM,
    Array,
    Setup,
)


class LeNet(nn.Module):
    """The tutorial's net; with a kernel of 5, LeNet-5."""

    def __init__(self, kernel: int = 3) -> None:
        super().__init__()
        side = ((32 - kernel + 1) // 2 - kernel + 1) // 2
        self.conv1 = nn.Conv2d(1, 6, kernel)
        self.conv2 = nn.Conv2d(6, 16, kernel)
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        logits: torch.Tensor = self.fc3(x)
        return logits


class Body(nn.Module):
    """A block of ResNet-20."""

    def __init__(self, entry: Block) -> None:
        super().__init__()
        self.stride, self.sides = entry.stride, entry.channels // 4
        self.conv1 = nn.Conv2d(
            entry.inputs, entry.channels, 3, entry.stride, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(entry.channels, EPSILON)
        self.conv2 = nn.Conv2d(entry.channels, entry.channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(entry.channels, EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride == 2:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.sides, self.sides))
        return F.relu(x + y)


class ResNet20(nn.Module):
    """The ResNet of 20 layers for CIFAR-10."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16, EPSILON)
        self.blocks = nn.Sequential(*(Body(entry) for entry in blocks()))
        self.fc = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(F.relu(self.bn(self.conv(x))))
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


class TorchTrainer:
    """A net in training by PyTorch."""

    can_infer = True

    def __init__(self, setup: Setup, variant: str) -> None:
        device = torch.device("cuda" if setup.device == "gpu" else "cpu")
        last = variant != "eager"  # compiled, too, it is the faster layout
        layout = torch.channels_last if last else torch.contiguous_format
        self.device = device
        self.pool = [
            (
                torch.from_numpy(images.transpose(0, 3, 1, 2))
                .contiguous()
                .to(device, memory_format=layout),
                torch.from_numpy(labels).long().to(device),
            )
            for images, labels in setup.batches()
        ]
        self.images: dict[int, torch.Tensor] = {}
        self.model = make_net(setup).to(device, memory_format=layout)
        # Not dynamic: a program for each of the few shapes is the fastest.
        self.call: Any = (
            torch.compile(self.model, dynamic=False)
            if variant == "compile"
            else self.model
        )
        self.optimizer = make_optimizer(self.model, device.type)

    def step(self, number: int) -> torch.Tensor:
        images, labels = self.pool[number % len(self.pool)]
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.call(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def forward(self, batch: int) -> torch.Tensor:
        if batch not in self.images:
            self.images[batch] = self.pool[0][0][:batch]
        with torch.inference_mode():
            logits: torch.Tensor = self.call(self.images[batch])
        return logits

    def training(self, on: bool) -> None:
        self.model.train(on)

    def wait(self, result: Any) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def numbers(self, result: torch.Tensor) -> Array:
        return np.asarray(result.cpu())


def make(setup: Setup, variant: str = "eager") -> Trainer:
    """Prepares the training."""
    if setup.device == "gpu" and not torch.cuda.is_available():
        raise RuntimeError("this PyTorch finds no GPU")
    return TorchTrainer(setup, variant)


def make_optimizer(model: nn.Module, device: str) -> torch.optim.Optimizer:
    """SGD in its fastest form: one kernel for all params on a GPU, a loop on a CPU."""
    fused = {"fused": True} if device == "cuda" else {}
    return torch.optim.SGD(
        model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, **fused
    )


def make_net(setup: Setup) -> nn.Module:
    """Makes a net with the first values that all peers start from."""
    deep = setup.model == "resnet20"
    net = ResNet20() if deep else LeNet(KERNELS[setup.model])
    net.load_state_dict(state_dict(setup.values), strict=False)
    return net


def state_dict(values: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    """lenetjax's values (or running statistics) under the names of these modules."""
    result = {}
    for path, array in features_first(values).items():
        block, name, kind = place(path)
        where = name if block is None else f"blocks.{block}.{name}"
        kind = {"mean": "running_mean", "var": "running_var"}.get(kind, kind)
        result[f"{where}.{kind}"] = torch.from_numpy(np.array(array))
    return result
