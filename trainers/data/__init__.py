"""Data sets by name. One module a source; batches of images are uint8 tensors.

Shapes: `N` images, `H`, `W` pixels; every image has three channels.
"""

from __future__ import annotations

from trainers.data.base import DataSource, ImageData, Images, Split, TrainingData
from trainers.data.sources.cifar import Cifar10, Cifar100
from trainers.data.sources.digits import Digits
from trainers.data.sources.folder import Folder, ImageNet
from trainers.data.sources.parquet import Parquet
from trainers.data.sources.tiny_imagenet import TinyImageNet
from trainers.registry import Registry

DATASETS: Registry[type[DataSource]] = Registry("data set")
DATASETS.add("digits", Digits)
DATASETS.add("cifar10", Cifar10)
DATASETS.add("cifar100", Cifar100)
DATASETS.add("tiny_imagenet", TinyImageNet)
DATASETS.add("imagenet", ImageNet)
DATASETS.add("parquet", Parquet)
DATASETS.add("folder", Folder)

__all__ = ["DATASETS", "DataSource", "ImageData", "Images", "Split", "TrainingData"]
