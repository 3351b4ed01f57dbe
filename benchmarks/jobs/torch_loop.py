"""Epochs of PyTorch over tensors that are on the device from the start."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.peers.pytorch import LeNet, make_optimizer
from benchmarks.setup import Array

Schedule = Callable[[int], float]  # the learning rate of each step


class Loop:
    """LeNet, its optimizer and the data.

    Args:
      variant: as for the peer.
      gpu: whether to train on one.
      batch: images in a batch; the last one of an epoch may be smaller.
    """

    def __init__(self, variant: str, gpu: bool, batch: int) -> None:
        self.device = torch.device("cuda" if gpu else "cpu")
        self.layout = (
            torch.contiguous_format if variant == "eager" else torch.channels_last
        )
        self.batch = batch
        self.net = LeNet().to(self.device, memory_format=self.layout)
        compiled = variant == "compile"
        self.call: Any = (
            torch.compile(self.net, dynamic=False) if compiled else self.net
        )
        self.optimizer = make_optimizer(self.net, self.device.type)

    def put(self, images: Array, labels: Array) -> tuple[torch.Tensor, torch.Tensor]:
        """Moves a split to the device."""
        first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        x = torch.from_numpy(first).to(self.device, memory_format=self.layout)
        return x, torch.from_numpy(labels).long().to(self.device)

    def draw(self, seed: int) -> None:
        """Starts anew: other values for the same net, which stays compiled."""
        torch.manual_seed(seed)
        for module in self.net.children():
            module.reset_parameters()  # type: ignore[operator]
        self.optimizer = make_optimizer(self.net, self.device.type)

    def warm_up(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Takes a step at each shape of an epoch, so that all is compiled."""
        last = len(labels) % self.batch or self.batch
        for size in {self.batch, last}:
            self.step(images[:size], labels[:size])
        self.wait()

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.call(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def epoch(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        schedule: Schedule | None = None,
        first_step: int = 0,
    ) -> float:
        """Trains on all images, shuffled; returns the mean loss."""
        self.net.train()
        order = torch.randperm(len(labels), device=self.device)
        losses = []
        for number, start in enumerate(range(0, len(labels), self.batch), first_step):
            if schedule is not None:
                for group in self.optimizer.param_groups:
                    group["lr"] = schedule(number)
            chosen = order[start : start + self.batch]
            losses.append(self.step(images[chosen], labels[chosen]))
        return float(torch.stack(losses).mean())  # waits for the device

    def accuracy(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        """The share of images that the net gets right."""
        self.net.eval()
        with torch.inference_mode():
            right = sum(
                (self.net(x).argmax(1) == y).sum()
                for x, y in zip(images.split(1000), labels.split(1000), strict=True)
            )
        return float(right) / len(labels)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
