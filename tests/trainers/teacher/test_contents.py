"""Where weights lie in what a file holds: at any depth, and which of several are taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tests.trainers.teacher.test_pretrained import State, behind, written
from trainers.errors import CheckpointError
from trainers.fit import seeded_model
from trainers.models import Network
from trainers.storage.content import tensors_key
from trainers.teacher.contents import state_dicts
from trainers.teacher.pretrained import read
from trainers.teacher.roles import is_averaged


@pytest.fixture(scope="module")
def mean() -> State:
    """The weights that are averaged: others than the network's."""
    return dict(seeded_model("resnet8", 10, seed=9).state_dict())


NESTED: dict[str, tuple[Callable[[State], Any], str]] = {
    "two deep": (lambda state: {"model": {"state_dict": state}}, "state dict under 'model.state_dict'"),
    "three deep": (
        lambda state: {"checkpoint": {"state": {"net": state}, "step": 3}},
        "state dict under 'checkpoint.state.net'",
    ),
    "a name of its own": (lambda state: {"resnet8": state, "epoch": 3}, "state dict under 'resnet8'"),
    "weights": (lambda state: {"weights": state}, "state dict under 'weights'"),
    "a tuple": (lambda state: (state, {"epoch": 3}), "state dict under '0'"),
    "a list in a dict": (lambda state: {"models": [state]}, "state dict under 'models.0'"),
    "a teacher alone": (lambda state: {"teacher": state}, "state dict under 'teacher'"),
    "beside an optimiser": (
        lambda state: (
            {"optimizer": {"state": {0: {"exp_avg.weight": torch.zeros(3)}}, "w.weight": torch.zeros(2)}}
            | {"lr_scheduler": {"last.weight": torch.zeros(1)}, "model": state}
        ),
        "state dict under 'model'",
    ),
}


@pytest.mark.parametrize(("wrap", "form"), NESTED.values(), ids=NESTED)
def test_weights_are_found_at_any_depth(
    tmp_path: Path, network: Network, wrap: Callable[[State], Any], form: str
) -> None:
    found = read(written(tmp_path, wrap(dict(network.state_dict()))))
    assert (found.hash, found.origin.form) == (tensors_key(network.state_dict()), form)
    assert found.origin.notes == ()


def test_values_among_the_weights_are_left_out_and_named(tmp_path: Path, network: Network) -> None:
    content = dict(network.state_dict()) | {"epoch": 3, "_extra_state": None, "lr": 0.1, "name": "resnet8"}
    found = read(written(tmp_path, content))
    assert found.hash == tensors_key(network.state_dict())
    assert found.origin.notes == ("left out beside the weights: epoch, _extra_state, lr, and 1 more (no tensors)",)


@pytest.mark.parametrize(
    ("name", "averaged"),
    [
        *(
            (name, True)
            for name in ("state_dict_ema", "model_ema", "ema", "EMA", "swa_model", "averaged_model", "ema.0")
        ),
        *((name, False) for name in ("model", "schema", "avgpool", "swan", "state_dict")),
    ],
)
def test_averaged_weights_are_known_by_a_word_of_their_name(name: str, averaged: bool) -> None:
    assert is_averaged(name) is averaged


AVERAGED = {
    "timm": ("state_dict", "state_dict_ema", lambda mean: mean),
    "torchvision": ("model", "model_ema", lambda mean: behind("module.", mean) | {"n_averaged": torch.tensor(7)}),
    "yolo": ("model", "ema", lambda mean: mean),
    "swa": ("state_dict", "swa_state_dict", lambda mean: behind("module.", mean) | {"n_averaged": torch.tensor(2)}),
    "nested": ("model", "ema", lambda mean: {"shadow": mean, "decay": 0.999, "num_updates": torch.tensor(3)}),
    "basicsr": ("params", "params_ema", lambda mean: behind("module.", mean)),
}


@pytest.mark.parametrize(("plain", "averaged", "wrap"), AVERAGED.values(), ids=AVERAGED)
@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
def test_of_two_the_averaged_weights_are_taken_and_it_is_said(
    tmp_path: Path, network: Network, mean: State, plain: str, averaged: str, wrap: Callable[[State], Any], first: bool
) -> None:
    both = {averaged: wrap(mean), plain: dict(network.state_dict())}
    found = read(written(tmp_path, both if first else dict(reversed(both.items()))))
    assert found.hash == tensors_key(mean) != tensors_key(network.state_dict())
    assert found.origin.form.startswith(f"state dict under '{averaged}")
    assert found.origin.notes[0] == f"the averaged weights taken, not those under '{plain}'"


@pytest.mark.parametrize("none", [None, {}, {"decay": 0.9}, {"decay": torch.tensor(0.9)}])
def test_where_there_is_no_average_the_weights_are_taken(tmp_path: Path, network: Network, none: Any) -> None:
    found = read(written(tmp_path, {"state_dict": network.state_dict(), "state_dict_ema": none}))
    assert (found.hash, found.origin.notes) == (tensors_key(network.state_dict()), ())


def test_torch_s_averaged_model_is_read_by_itself(tmp_path: Path, network: Network) -> None:
    wrapped = AveragedModel(network)
    wrapped.update_parameters(network)
    found = read(written(tmp_path, wrapped.state_dict()))
    assert found.hash == tensors_key(network.state_dict())
    assert found.origin.notes == (
        "weights averaged over the training (n_averaged 1)",
        "prefix 'module.' removed (written by DataParallel)",
    )


def test_an_average_that_was_never_begun_is_not_taken(tmp_path: Path, network: Network, mean: State) -> None:
    started = AveragedModel(nn.Module())  # as torch has it before the first update
    assert started.n_averaged == 0
    content = {"swa_model": behind("module.", mean) | {"n_averaged": started.n_averaged}, "model": network.state_dict()}
    found = read(written(tmp_path, content))
    assert found.hash == tensors_key(network.state_dict())
    assert found.origin.notes == ("not taken: the weights under 'swa_model'",)
    inside = (
        behind("swa_net.module.", mean) | {"swa_net.n_averaged": torch.tensor(0)} | behind("net.", state_of(network))
    )
    assert read(written(tmp_path, {"state_dict": inside})).hash == tensors_key(network.state_dict())


def test_averaged_weights_within_a_state_dict_come_first_too(tmp_path: Path, network: Network, mean: State) -> None:
    content = behind("net.", state_of(network)) | behind("ema_net.", mean)
    found = read(written(tmp_path, {"state_dict": content}))
    assert found.hash == tensors_key(mean)
    (note,) = found.origin.notes
    assert note.startswith("prefix 'ema_net.' removed (weights averaged over the training); left out beside it: net (")


def test_averaged_weights_that_fit_nothing_give_way(tmp_path: Path, network: Network) -> None:
    content = {"ema": {"odd.weight": torch.zeros(3, 3)}, "model": network.state_dict()}
    found = read(written(tmp_path, content))
    assert found.origin.form == "state dict under 'model'"
    assert found.origin.notes == ("not taken: the weights under 'ema', of which the averaged fit no architecture",)


def test_of_a_student_and_a_teacher_the_student_is_taken(tmp_path: Path, network: Network, mean: State) -> None:
    found = read(written(tmp_path, {"teacher": mean, "student": network.state_dict()}))
    assert found.hash == tensors_key(network.state_dict())
    assert found.origin.notes == ("not taken: the weights under 'teacher'",)


@pytest.mark.parametrize("name", ["best_loss_model", "model_best_metric", "adam_opt_model", "metric_model", "lossNet"])
def test_a_network_is_found_whatever_it_was_chosen_by(tmp_path: Path, network: Network, mean: State, name: str) -> None:
    assert read(written(tmp_path, {name: network.state_dict()})).hash == tensors_key(network.state_dict())
    both = {name: mean, "resnet8": network.state_dict()}
    assert read(written(tmp_path, both)).hash == tensors_key(network.state_dict())


@pytest.mark.parametrize("other", ["last", "model", "final_model", "latest"])
@pytest.mark.parametrize("best", ["best", "best_model", "bestModel"])
@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
def test_of_one_training_the_best_weights_are_taken(
    tmp_path: Path, network: Network, mean: State, best: str, other: str, first: bool
) -> None:
    both = {best: dict(network.state_dict()), other: mean}
    found = read(written(tmp_path, (both if first else dict(reversed(both.items()))) | {"best_acc": 93}))
    assert found.hash == tensors_key(network.state_dict())
    assert found.origin.notes == (f"not taken: the weights under '{other}'",)


def test_where_none_fits_the_first_choice_is_explained(tmp_path: Path) -> None:
    content = {"extra": {"b.weight": torch.zeros(2, 2)}, "model": {"a.weight": torch.zeros(3, 3)}}
    with pytest.raises(CheckpointError, match=r"its own keys begin with a.weight$"):
        read(written(tmp_path, content))


@pytest.mark.parametrize("count", [torch.zeros(2), torch.zeros(1).to_sparse(), torch.zeros((), device="meta")])
def test_an_odd_count_of_averages_is_no_number(count: Tensor) -> None:
    (found,) = state_dicts({"module.fc.weight": torch.zeros(2, 2), "n_averaged": count})
    assert found.count is None


def test_a_file_of_endless_names_is_looked_into_no_further(tmp_path: Path) -> None:
    deep: Any = {"a.weight": torch.zeros(2, 2)}
    for _ in range(40):
        deep = {"x": deep}
    with pytest.raises(CheckpointError, match="expected a state dict, or one under model, state_dict"):
        read(written(tmp_path, deep))


def test_a_file_that_holds_itself_is_looked_into_once(tmp_path: Path, network: Network) -> None:
    content: dict[str, Any] = {"best_acc": 90.0, "model": state_of(network)}
    content |= {f"self{number}": content for number in range(900)}
    content["list"] = [content] * 900
    found = read(written(tmp_path, content))
    assert found.hash == tensors_key(network.state_dict())
    assert found.origin.stated is not None
    del content["model"]
    with pytest.raises(CheckpointError, match="expected a state dict"):
        read(written(tmp_path, content))


def state_of(network: Network) -> State:
    return dict(network.state_dict())
