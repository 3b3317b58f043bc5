"""A trained network as an MLflow model: the graph that `torch.export` writes, with signature and input example."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sweep.tracking import mlflow_internals

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from torch import Tensor, nn

    from trainers.models import Network

GRAPH, ABOUT = "data/model.pt2", "MLmodel"
"""Of a model's files the graph, and what MLflow says of it, in YAML."""
CHANNELS = 3
EXAMPLE_IMAGES = 2
"""A batch of one would fix the batch size of the exported graph."""
EXAMPLE_STEP = 8
"""The input example's values are multiples of one eighth, which are short in JSON."""


def save(network: Network, images: dict[str, Any], folder: Path, metadata: dict[str, Any]) -> None:
    """Write a network as an MLflow model with signature and input example.

    Args:
        network: in evaluation mode, on the CPU.
        images: a plan's; the network reads float32 ``[B, 3, H, W]``, normalised by their `mean` and `std`.
        folder: to be made.
        metadata: what else the model's file should say.

    Raises:
        ValueError: where the graph would take one number of images alone.
        Exception: whatever torch says of a graph that it cannot follow.
    """
    with warnings.catch_warnings(action="ignore"):  # MLflow warns of type hints of its own while it is imported
        import numpy
        import torch
        from mlflow import pytorch

        shape = (CHANNELS, *images["size"])
        draws = numpy.random.default_rng(0).standard_normal((EXAMPLE_IMAGES, *shape))
        example = (numpy.round(draws * EXAMPLE_STEP) / EXAMPLE_STEP).astype("float32")
        pytorch.save_model(
            _as_mlflow_follows(network, torch.from_numpy(example)),
            str(folder),
            signature=_signature(shape, images["classes"]),
            input_example=example,
            serialization_format="pt2",
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
            metadata=metadata | {name: images[name] for name in ("mean", "std")},
        )
        mlflow_internals.read_graph(folder / GRAPH)


def _as_mlflow_follows(network: nn.Module, example: Tensor) -> nn.Module:
    """The network, or its graph where layers hide in it: MLflow has `torch.export` read no code, which misses them.

    `example` is float32 ``[B, 3, H, W]``, of at least two images.
    """
    import torch

    from trainers.exported import hides_layers

    if not hides_layers(network):
        return network
    shapes = ({0: torch.export.Dim("batch")},)
    with torch.no_grad():
        graph = torch.export.export(network, (example,), dynamic_shapes=shapes, strict=True)
    return graph.module()


def images_of(about: Path) -> dict[str, Any]:
    """What the images of a network that :func:`save` has written go through: `size`, `mean` and `std`, as in a plan.

    Args:
        about: the model's file :data:`ABOUT`.

    Raises:
        ValueError, TypeError, KeyError, yaml.YAMLError: where it is none of those.
    """
    content = yaml.safe_load(about.read_text(encoding="utf-8"))
    (told,) = json.loads(content["signature"]["inputs"])
    _, channels, height, width = map(int, told["tensor-spec"]["shape"])
    colours = {name: [float(value) for value in content["metadata"][name]] for name in ("mean", "std")}
    if {channels, *map(len, colours.values())} != {CHANNELS} or not all(0 < std < math.inf for std in colours["std"]):
        raise ValueError(f"its images have not {CHANNELS} colours")
    return {"size": [height, width], **colours}


def _signature(shape: tuple[int, ...], classes: int) -> ModelSignature:
    """Float32 images of any number in, their logits out."""
    import numpy
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    read, said = ((-1, *shape), "images"), ((-1, classes), "logits")
    inputs, outputs = (Schema([TensorSpec(numpy.dtype("float32"), *tensor)]) for tensor in (read, said))
    return ModelSignature(inputs, outputs)
