"""The loss, the student and the data of a paper that does not exist."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow.parquet as pq
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from trainers import dataset, method, model

HERE = Path(__file__).parent


@method("mykd", warmup_epochs=1)
def mykd(
    student: Tensor,
    teacher: Tensor,
    targets: Tensor,
    *,
    beta: Annotated[float, Field(ge=0)] = 2.0,
    temperature: Annotated[float, Field(gt=0)] = 4.0,
) -> Tensor:
    """Squared differences of softened probabilities; images that the teacher has wrong count a half."""
    softened = F.softmax(student / temperature, 1), F.softmax(teacher / temperature, 1)
    right = teacher.argmax(1) == targets
    return beta * temperature**2 * (F.mse_loss(*softened, reduction="none").sum(1) * (0.5 + 0.5 * right)).mean()


@model("tinynet")
class TinyNet(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )
        self.fc = nn.Linear(32, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[B, 3, H, W]`` to logits ``[B, C]``."""
        out: Tensor = self.fc(self.body(images))
        return out


@dataset("scans", test_fraction=0.25)
def scans(*, path: Path = HERE / "scans.parquet", min_quality: float = 0.0) -> tuple[np.ndarray, list[int]]:
    """Scanned digits: a Parquet file with the columns `scan` (8 × 8 bytes), `digit` and `quality`."""
    table = pq.read_table(path).to_pylist()
    kept = [row for row in table if row["quality"] >= min_quality]
    images = np.stack([np.frombuffer(row["scan"], np.uint8).reshape(8, 8) for row in kept])
    return images, [row["digit"] for row in kept]
