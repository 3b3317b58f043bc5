"""Data sets by name. One module a source; images live in memory as uint8 tensors.

Shapes: `N` images, `H`, `W` pixels; every image has three channels.
"""

from __future__ import annotations

from trainers.data.base import DataSource, ImageData, Split, TrainingData
from trainers.data.digits import Digits
from trainers.registry import Registry

DATASETS: Registry[type[DataSource]] = Registry("data set")
DATASETS.add("digits", Digits)

__all__ = ["DATASETS", "DataSource", "ImageData", "Split", "TrainingData"]
