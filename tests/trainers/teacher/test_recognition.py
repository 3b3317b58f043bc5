"""Which architecture weights are, and what is said where they are none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainers.teacher.test_pretrained import State, behind, renamed, written
from trainers.errors import CheckpointError
from trainers.fit import seeded_model
from trainers.models import Network
from trainers.storage.content import tensors_key
from trainers.teacher.prefixes import MOST, readings
from trainers.teacher.pretrained import read


def published(depth: int) -> State:
    """A CIFAR ResNet with option-A shortcuts as it goes round: behind DataParallel, its last layer `linear`."""
    state = dict(seeded_model(f"resnet{depth}a", 10, seed=0).state_dict())
    state = {key: value for key, value in state.items() if "num_batches_tracked" not in key}
    return behind("module.", renamed("fc", "linear", state))


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_option_a_is_known_by_what_it_has_not(tmp_path: Path, depth: int) -> None:
    path = written(tmp_path, {"state_dict": published(depth), "best_prec1": 91.7}, f"resnet{depth}-12fca82f.th")
    found = read(path)
    assert (found.architecture, found.num_classes) == (f"resnet{depth}a", 10)
    assert found.origin.notes[-1] == f"resnet{depth} with option-A shortcuts, which have no parameters"
    assert found.origin.notes[1] == "head 'linear' renamed 'fc'"
    ours = seeded_model(f"resnet{depth}a", 10, seed=0).state_dict()
    assert found.hash == tensors_key(ours)


def test_the_two_options_are_not_taken_for_each_other(tmp_path: Path, network: Network) -> None:
    path = written(tmp_path, {"state_dict": published(20)}, "weights.th")
    with pytest.raises(
        CheckpointError, match=r"is no resnet20: layer2.0.downsample.0.weight is missing; .*; it is a resnet20a$"
    ):
        read(path, "resnet20")
    projected = written(tmp_path, seeded_model("resnet20", 10, seed=0).state_dict())
    with pytest.raises(CheckpointError, match=r"is no resnet20a: .*downsample.* is unknown; .*; it is a resnet20$"):
        read(projected, "resnet20a")


def foreign(state: State) -> State:
    """The same weights under names that nobody here knows."""
    return {f"part_{number}.{key.rpartition('.')[2]}": value for number, (key, value) in enumerate(state.items())}


@pytest.mark.parametrize("name", ["resnet8", "resnet14", "resnet20a", "vgg8", "wrn_16_1", "MobileNetV2", "ShuffleV1"])
def test_the_nearest_is_the_one_of_whose_shapes_the_weights_are(tmp_path: Path, name: str) -> None:
    state = foreign(dict(seeded_model(name, 10, seed=0).state_dict()))
    with pytest.raises(CheckpointError) as error:
        read(written(tmp_path, state))
    assert f"fits no architecture; the nearest is {name}: " in str(error.value)
    first = ", ".join(list(state)[:3])
    assert f"; its own keys begin with {first}, and {len(state) - 3} more" in str(error.value)


def test_a_name_in_the_path_counts_for_the_nearest(tmp_path: Path, network: Network) -> None:
    more = seeded_model("resnet14", 10, seed=0).state_dict()
    between = dict(network.state_dict()) | {key: value for key, value in more.items() if key.startswith("layer1.1.")}
    with pytest.raises(CheckpointError, match=r"the nearest is resnet8: layer1\.1\.conv1\.weight is unknown"):
        read(written(tmp_path / "a", between))
    with pytest.raises(CheckpointError, match=r"the nearest is resnet14: layer2\.1\.conv1\.weight is missing"):
        read(written(tmp_path / "a", between, "resnet14_best.pth"))
    with pytest.raises(CheckpointError, match=r"the nearest is resnet14: "):
        read(written(tmp_path / "ResNet14_cifar", between))


def test_what_is_behind_a_prefix_is_compared_without_it(tmp_path: Path, network: Network) -> None:
    state = {key: value for key, value in network.state_dict().items() if not key.startswith("layer3.0.bn2")}
    with pytest.raises(CheckpointError) as error:
        read(written(tmp_path, {"state_dict": behind("model.", state)}))
    said = str(error.value)
    assert "the nearest is resnet8: layer3.0.bn2.weight is missing; layer3.0.bn2.bias is missing" in said
    assert "its own keys begin with model.conv1.weight, model.bn1.weight, " in said


def test_where_nothing_is_near_none_is_named(tmp_path: Path) -> None:
    state = {"encoder.embed.weight": torch.zeros(30, 7), "encoder.out.weight": torch.zeros(7, 30)}
    with pytest.raises(CheckpointError) as error:
        read(written(tmp_path, {"state_dict": state}))
    assert str(error.value).endswith(
        "fits no architecture, and none is near; its own keys begin with encoder.embed.weight, encoder.out.weight"
    )


def test_a_name_alone_does_not_make_an_architecture_near(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"and none is near; its own keys begin with a\.weight"):
        read(written(tmp_path, {"a.weight": torch.zeros(2, 2)}, "resnet8.pth"))


def test_an_architecture_of_another_s_file_is_only_a_word(tmp_path: Path, network: Network) -> None:
    content = {"architecture": "resnet18", "state_dict": network.state_dict(), "epoch": 3}
    assert read(written(tmp_path, content)).architecture == "resnet8"


@pytest.mark.slow(1)
def test_many_names_before_keys_cost_no_long_search(tmp_path: Path) -> None:
    state: State = {}
    for number in range(300):
        state |= {f"model.net{number}.module.weight": torch.zeros(2, 2), f"x{number}_ema.net.weight": torch.zeros(2)}
    assert 10 < len(list(readings(state))) <= MOST
    with pytest.raises(CheckpointError, match="fits no architecture"):
        read(written(tmp_path, {"state_dict": state}))


@pytest.mark.parametrize(
    ("name", "ours", "theirs"), [("resnet20", "downsample", "shortcut"), ("ResNet18", "shortcut", "downsample")]
)
def test_shortcuts_go_by_two_names(tmp_path: Path, name: str, ours: str, theirs: str) -> None:
    state = dict(seeded_model(name, 10, seed=0).state_dict())
    other = {key.replace(f".{ours}.", f".{theirs}."): value for key, value in state.items()}
    assert other.keys() != state.keys()
    found = read(written(tmp_path, {"net": other, "acc": 90.0}))
    assert (found.architecture, found.hash) == (name, tensors_key(state))
    assert found.origin.notes == (f"'{theirs}' renamed '{ours}'",)


def test_names_out_of_a_file_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    odd = "\x1b[2Jlayer" + "x" * 450
    with pytest.raises(CheckpointError) as error:
        read(written(tmp_path, {f"{odd}.weight": torch.zeros(3, 3), "ä.weight": torch.zeros(3)}))
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 1_000
    assert "its own keys begin with \\x1b[2Jlayerxx" in str(error.value)
    assert str(error.value).endswith("…, ä.weight")
