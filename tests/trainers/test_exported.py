"""Weight files of finished trials come back as the networks that they hold, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.distillers.dho import TwoHeads, two_heads
from trainers.distillers.simkd import ReusedClassifier, reused_classifier
from trainers.errors import CheckpointError
from trainers.exported import PORTABLE, portable, read_network
from trainers.fit import seeded_model
from trainers.models import Network
from trainers.storage.checkpoint import save_tensors

SIZE = (8, 8)


def written(path: Path, network: Network, **changes: Any) -> Path:
    """A trial's `weights.pt`, as the training loop writes it."""
    content = {
        "architecture": "resnet8",
        "method": {"name": "kd", "params": {}},
        "teacher": "resnet14",
        "state_dict": network.state_dict(),
    }
    save_tensors(path, content | changes)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pt"


def logits(network: Network) -> torch.Tensor:
    images = torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network(images)


def test_a_student_comes_back_in_evaluation_mode(path: Path) -> None:
    student = seeded_model("resnet8", 10, seed=3).train()
    logits(student)  # moves the running statistics, which must come back too
    network = read_network(written(path, student), 10, SIZE)
    assert not network.training
    assert torch.equal(logits(network), logits(student.eval()))


def test_simkd_s_student_comes_back_with_projector_and_the_teacher_s_classifier(path: Path) -> None:
    student, teacher = seeded_model("resnet8", 10, seed=3), seeded_model("vgg8", 10, seed=4)
    reused = reused_classifier(student, teacher, SIZE, factor=3).eval()
    method = {"name": "simkd", "params": {"factor": 3}}
    network = read_network(written(path, reused, method=method, teacher="vgg8"), 10, SIZE)
    assert isinstance(network, ReusedClassifier)
    assert torch.equal(network.head.weight, teacher.classifier.weight)
    assert torch.equal(logits(network), logits(reused))


def test_dho_s_student_comes_back_with_both_heads_mixed_as_they_were(path: Path) -> None:
    mixed = two_heads(seeded_model("resnet8", 10, seed=3), 10, alpha=0.2, beta=3.0).eval()
    method = {"name": "dho", "params": {"alpha": 0.2, "beta": 3.0}}
    network = read_network(written(path, mixed, method=method), 10, SIZE)
    assert isinstance(network, TwoHeads)
    assert (network.alpha, network.beta) == (0.2, 3.0)
    assert torch.equal(logits(network), logits(mixed))
    assert not torch.allclose(logits(network), logits(mixed.student))


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "resnet14"},
        {"architecture": "resnet9"},
        {"method": None},
        {"state_dict": {}},
        {"method": {"name": "simkd", "params": {"factor": 2}}, "teacher": "vgg8"},
    ],
    ids=["another network", "no network", "no method", "no weights", "another method"],
)
def test_a_file_that_is_not_what_it_says_is_refused_in_one_line(path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError) as error:
        read_network(written(path, seeded_model("resnet8", 10, seed=3), **changes), 10, SIZE)
    assert str(error.value).startswith(f"weights {path} are not what they say they are: ")
    assert "\n" not in str(error.value)


def test_weights_for_other_classes_are_refused(path: Path) -> None:
    with pytest.raises(CheckpointError, match="are not what they say they are"):
        read_network(written(path, seeded_model("resnet8", 10, seed=3)), 11, SIZE)


def test_a_file_that_is_not_there_or_no_weight_file_is_named(path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"weights {path} cannot be read: No such file"):
        read_network(path, 10, SIZE)
    path.write_bytes(b"weights, honestly")
    with pytest.raises(CheckpointError, match=f"weights {path} cannot be read as a torch weight file"):
        read_network(path, 10, SIZE)


def test_a_portable_file_in_its_place_holds_the_same_network(path: Path) -> None:
    network = seeded_model("resnet8", 10, 0).eval()
    written(path, network, classes=["a", "b"])
    content = portable(path, {"mean": [0.5]})
    path.unlink()
    path.with_suffix(PORTABLE).write_bytes(content)
    assert torch.equal(logits(read_network(path, 10, SIZE)), logits(network))
    assert portable(path, {}) == content, "what it says of itself stays"


def test_a_portable_file_that_is_damaged_is_refused(path: Path) -> None:
    path.with_suffix(PORTABLE).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors cannot be read as a safetensors file"):
        read_network(path, 10, SIZE)


def test_what_has_no_tensors_is_no_weight_file(path: Path) -> None:
    save_tensors(path, {"architecture": "resnet8"})
    with pytest.raises(CheckpointError, match="no tensors"):
        portable(path, {})
