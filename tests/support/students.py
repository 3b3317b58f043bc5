"""Students of sweeps that were never run: networks with weights of any kind, and what a sweep would know of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sweep.students.about import About
from sweep.students.student import Student
from trainers.data import DATASETS, ImageData
from trainers.models import Network


def data_of(size: int) -> ImageData:
    """The digits at that size."""
    return DATASETS["digits"].model_validate({"image_size": size}).load()


def settled(network: nn.Module, size: int) -> nn.Module:
    """A network whose batch norms have seen images, in evaluation mode: one that would show if they were left out."""
    images, _ = images_of(data_of(size), 64)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean of what they see
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    with torch.no_grad():
        network.train()(images.float() / 255)
    return network.eval()


def images_of(data: ImageData, count: int) -> tuple[Tensor, Tensor]:
    """The first test images, uint8 ``[count, 3, H, W]``, with their labels."""
    (batch,) = data.test.batches([torch.arange(count)])
    return batch.images, batch.labels


def student_of(network: Network | nn.Module, size: int, model: str, **config: Any) -> tuple[Student, About]:
    """A network as the student of a sweep on digits."""
    data = data_of(size)
    images = {"size": [size, size], "classes": 10, "mean": list(data.mean), "std": list(data.std)}
    trial = {
        "dataset": {"name": "digits", "options": {"image_size": size}, "content": data.content},
        "model": model,
        "teacher": None,
        "method": {"name": "kd", "params": {}},
        "recipe": {"epochs": 1},
    }
    about = About(
        sweep="small",
        pair=f"resnet20→{model}",
        row="kd",
        seed=0,
        key="0123456789abcdef",
        config=trial | config,
        images=images,
        classes=data.classes,
        protocol="validation",
        accuracy={"test_acc": 90.0, "test_acc5": 99.0, "val_acc": 89.0},
        row_accuracy={"mean": 89.5, "std": 0.5, "n": 2, "seeds": {0: 90.0, 1: 89.0}},
        source={"image_size": size},
    )
    return Student(network, images).eval(), about
