"""What stands before the keys of a network, in any stack, and what lies beside it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from tests.trainers.teacher.test_pretrained import State, behind, written
from trainers.fit import seeded_model
from trainers.models import MODELS, Network, build
from trainers.models.outline import outlines
from trainers.storage.content import tensors_key
from trainers.teacher.pretrained import read

WRAPPERS = ("module", "_orig_mod", "model", "net", "network", "backbone", "student", "my_own_name")
CRITERION = {"criterion.weight": torch.ones(10)}


def notes_of(tmp_path: Path, state: State, network: Network) -> tuple[str, ...]:
    """What is said of a file that must hold the network."""
    found = read(written(tmp_path, {"state_dict": state}))
    assert (found.architecture, found.hash) == ("resnet8", tensors_key(network.state_dict()))
    return found.origin.notes


@pytest.mark.parametrize("name", WRAPPERS)
def test_one_prefix_of_all_keys_is_removed_and_it_is_said(tmp_path: Path, network: Network, name: str) -> None:
    (note,) = notes_of(tmp_path, behind(f"{name}.", dict(network.state_dict())), network)
    assert note.startswith(f"prefix '{name}.' removed")


@pytest.mark.parametrize(
    "stack", [*itertools.permutations(WRAPPERS[:3]), ("_orig_mod", "module", "model", "net"), WRAPPERS]
)
@pytest.mark.parametrize("company", [{}, CRITERION], ids=["alone", "beside a criterion"])
def test_prefixes_are_removed_in_any_stack(
    tmp_path: Path, network: Network, stack: tuple[str, ...], company: State
) -> None:
    state = behind(".".join(stack) + ".", dict(network.state_dict()))
    notes = " ".join(notes_of(tmp_path, state | company, network))
    assert all(name in notes for name in stack)
    assert ("left out beside the network: criterion (1)" in notes) is bool(company)


@pytest.mark.parametrize(
    "company",
    [
        CRITERION,
        {"loss_fn.weight": torch.ones(10), "loss_fn.pos_weight": torch.ones(10)},
        {"train_metrics.acc.total": torch.tensor(3)},
        {"val_accuracy.tp": torch.zeros(10)},
    ],
    ids=["criterion", "loss", "metrics", "accuracy"],
)
@pytest.mark.parametrize("prefix", ["", "model.", "module.net."])
def test_a_criterion_s_own_keys_are_left_out(tmp_path: Path, network: Network, prefix: str, company: State) -> None:
    notes = notes_of(tmp_path, behind(prefix, dict(network.state_dict())) | company, network)
    assert notes[0].startswith("left out beside the network: ")


@pytest.mark.parametrize("name", ["model", "net", "backbone", "my_own_name"])
def test_whatever_lies_beside_a_network_behind_a_prefix_is_left_out(
    tmp_path: Path, network: Network, name: str
) -> None:
    beside = {"projector.0.weight": torch.ones(4, 64), "projector.0.bias": torch.ones(4), "log_scale": torch.ones(1)}
    notes = notes_of(tmp_path, behind(f"{name}.", dict(network.state_dict())) | beside, network)
    assert notes == (f"prefix '{name}.' removed; left out beside it: projector (2), log_scale (1)",)


def test_a_head_beside_its_backbone_stays(tmp_path: Path, network: Network) -> None:
    state = dict(network.state_dict())
    split = {key if key.startswith("fc.") else f"backbone.{key}": value for key, value in state.items()}
    assert notes_of(tmp_path, split, network) == ("prefix 'backbone.' removed where it stood",)


@pytest.mark.parametrize("names", [("student", "teacher"), ("model_s", "model_t"), ("student_net", "teacher_net")])
@pytest.mark.parametrize("around", ["", "module.", "model."])
def test_of_a_distiller_the_student_is_taken_however_large_its_teacher(
    tmp_path: Path, network: Network, names: tuple[str, str], around: str
) -> None:
    student, teacher = names
    large = dict(seeded_model("resnet32", 10, seed=0).state_dict())
    state = behind(f"{student}.", dict(network.state_dict())) | behind(f"{teacher}.", large)
    notes = notes_of(tmp_path, behind(around, state), network)
    said = "(the student of a distiller's checkpoint; its teacher is left out)"
    assert notes[-1] == f"prefix '{student}.' removed {said}"


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_wrappers_of_parts_of_a_network_are_removed_inside_its_keys(
    tmp_path: Path, network: Network, wrapper: str
) -> None:
    state = {key.replace("layer2.", f"layer2.{wrapper}."): value for key, value in network.state_dict().items()}
    assert notes_of(tmp_path, state, network) == (f"'{wrapper}.' removed inside the keys",)
    deeper = behind(f"model.{wrapper}.", state)
    assert f"'{wrapper}.' removed inside the keys" in notes_of(tmp_path, deeper, network)


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_a_profiler_s_counters_are_left_out_and_it_is_said(tmp_path: Path, network: Network, prefix: str) -> None:
    state = behind(prefix, dict(network.state_dict()))
    for name, _ in network.named_modules():
        at = f"{prefix}{name}." if name else prefix
        state |= {f"{at}total_ops": torch.zeros(1).double(), f"{at}total_params": torch.zeros(1).double()}
    notes = notes_of(tmp_path, state, network)
    assert notes[0] == "a profiler's counters left out (total_ops, total_params)"


@pytest.mark.slow(1)
def test_no_architecture_s_own_keys_are_taken_for_a_prefix() -> None:
    for name in MODELS:
        with outlines():
            keys = build(name, num_classes=10).state_dict()
        assert len({key.partition(".")[0] for key in keys}) > 1, name


@pytest.mark.parametrize("name", ["vgg8", "MobileNetV2", "ShuffleV1", "wrn_16_1"])
def test_networks_of_other_families_are_found_behind_prefixes_too(tmp_path: Path, name: str) -> None:
    state = dict(seeded_model(name, 10, seed=0).state_dict())
    found = read(written(tmp_path, {"state_dict": behind("model.module.", state) | CRITERION}))
    assert (found.architecture, found.hash) == (name, tensors_key(state))
