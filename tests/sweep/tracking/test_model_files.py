"""A network as an MLflow model: every family's graph computes what the network does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sweep.tracking.address import quiet_mlflow
from sweep.tracking.mlflow_internals import read_graph
from sweep.tracking.model_files import GRAPH, save
from trainers.exported import hides_layers
from trainers.fit import seeded_model

pytestmark = pytest.mark.slow(12)


@pytest.mark.parametrize(
    ("name", "size", "hidden"), [("resnet8", 8, False), ("MobileNetV2", 32, True), ("imagenet/MobileNetV2", 64, True)]
)
def test_a_network_is_written_also_where_layers_hide_in_it(name: str, size: int, hidden: bool, tmp_path: Path) -> None:
    quiet_mlflow()
    network = seeded_model(name, 10, 3).eval()
    assert hides_layers(network) == hidden
    save(network, {"size": [size, size], "classes": 10, "mean": [0.5] * 3, "std": [0.5] * 3}, tmp_path / "model", {})
    graph = read_graph(tmp_path / "model" / GRAPH)
    for count in (1, 5):
        images = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            torch.testing.assert_close(graph(images), network(images), rtol=0, atol=1e-5)
