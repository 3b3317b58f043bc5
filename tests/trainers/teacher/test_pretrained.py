"""Published checkpoints in every form in which they go round, and files that must not be believed."""

from __future__ import annotations

import argparse
import os
import pickle
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.trainers.storage.test_checkpoint import Touch
from trainers.distillers.dho import two_heads
from trainers.errors import CheckpointError, InputError
from trainers.fit import seeded_model
from trainers.models import MODELS, Network, auxiliary_head, build
from trainers.storage.content import file_sha256, tensors_key
from trainers.teacher.pretrained import read

State = dict[str, Tensor]
SCALARS = {"best_acc": np.float64(72.34), "epoch": np.int64(240), "acc": torch.tensor(72.3)}
OPTIONS = argparse.Namespace(learning_rate=0.05, lr_decay_epochs=[150, 180, 210], model="resnet8", trial="0")


def behind(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def renamed(old: str, new: str, state: State) -> State:
    return {key.replace(f"{old}.", f"{new}.") if key.startswith(f"{old}.") else key: v for key, v in state.items()}


def written(folder: Path, content: Any, name: str = "ckpt.pth", **how: Any) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(content, folder / name, **how)
    return folder / name


FORMS: dict[str, tuple[Callable[[State], Any], str, tuple[str, ...]]] = {
    "bare": (lambda state: state, "state dict", ()),
    "RepDistiller": (lambda state: {"opt": OPTIONS, "model": state} | SCALARS, "state dict under 'model'", ()),
    "mdistiller": (
        lambda state: {"epoch": 240, "model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.05}]}},
        "state dict under 'model'",
        (),
    ),
    "ImageNet script": (
        lambda state: {"arch": "resnet8", "state_dict": behind("module.", state)},
        "state dict under 'state_dict'",
        ("prefix 'module.' removed (written by DataParallel)",),
    ),
    "mdistiller's trainer": (
        lambda state: {"model": behind("module.student.", state) | behind("module.teacher.", state)},
        "state dict under 'model'",
        (
            "prefix 'module.' removed (written by DataParallel)",
            "prefix 'student.' removed (the student of a distiller's checkpoint; its teacher is left out)",
        ),
    ),
    "compiled": (
        lambda state: behind("_orig_mod.", state),
        "state dict",
        ("prefix '_orig_mod.' removed (written by a compiled network)",),
    ),
    "ours": (
        lambda state: {"architecture": "resnet8", "state_dict": state},
        "weights.pt of this project",
        (),
    ),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("form", FORMS)
def test_every_published_form_is_read(tmp_path: Path, network: Network, form: str, zipped: bool) -> None:
    wrap, told, notes = FORMS[form]
    content = wrap(dict(network.state_dict()))
    path = written(tmp_path / "resnet8_vanilla", content, _use_new_zipfile_serialization=zipped)
    found = read(path)
    assert (found.architecture, found.num_classes) == ("resnet8", 10)
    assert list(found.state_dict) == list(network.state_dict())
    assert found.hash == tensors_key(network.state_dict()) == tensors_key(found.network().state_dict())
    assert (found.origin.form, found.origin.notes) == (told, notes)
    assert found.origin.file == "resnet8_vanilla/ckpt.pth"
    assert found.origin.sha256 == file_sha256(path)


def test_what_a_method_predicts_with_is_not_cut_down_to_its_student(tmp_path: Path, network: Network) -> None:
    state = dict(two_heads(seeded_model("resnet8", 10, seed=0), 10).state_dict())
    content = {"architecture": "resnet8", "method": {"name": "dho", "params": {}}, "state_dict": state}
    with pytest.raises(CheckpointError, match="holds a resnet8 with what the method 'dho' predicts through besides"):
        read(written(tmp_path, content))


def test_a_safetensors_file_is_read(tmp_path: Path, network: Network) -> None:
    save_file(dict(network.state_dict()), tmp_path / "model.safetensors")
    assert read(tmp_path / "model.safetensors").hash == tensors_key(network.state_dict())
    (tmp_path / "torn.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"torn.safetensors cannot be read as a safetensors file"):
        read(tmp_path / "torn.safetensors")


@pytest.mark.parametrize("name", ["wrn_16_1", "vgg8", "ShuffleV1", "MobileNetV2", "tiny_imagenet/MobileNetV2"])
def test_an_architecture_is_known_by_its_keys_and_shapes(tmp_path: Path, name: str) -> None:
    state = seeded_model(name, 7, seed=0).state_dict()
    found = read(written(tmp_path, state))
    assert (found.architecture, found.num_classes) == (name, 7)
    assert tensors_key(found.network().state_dict()) == tensors_key(state)


@pytest.mark.slow(1)
def test_no_two_architectures_are_alike() -> None:
    def signature(name: str) -> str:
        with torch.device("meta"):
            return str([(key, value.shape) for key, value in build(name, num_classes=10).state_dict().items()])

    definitions = {id(MODELS[name]): name for name in MODELS}
    alike = Counter(signature(name) for name in definitions.values())
    assert set(alike.values()) == {1}


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
@pytest.mark.parametrize(("name", "head"), [("resnet8", "fc"), ("vgg8", "classifier"), ("ShuffleV1", "linear")])
def test_a_second_head_is_dropped_and_it_is_said(tmp_path: Path, name: str, head: str, kind: Any) -> None:
    main = seeded_model(name, 10, seed=0)
    second = auxiliary_head(kind, main.feature_dim, 10).state_dict()
    found = read(written(tmp_path, {"model": dict(main.state_dict()) | behind(f"{head}2.", dict(second))}))
    assert found.hash == tensors_key(main.state_dict())
    assert found.origin.notes == (f"second head '{head}2' dropped",)


@pytest.mark.parametrize(
    ("name", "ours", "theirs"), [("MobileNetV2", "classifier.0", "classifier"), ("MobileNetV1", "fc", "classifier")]
)
def test_the_heads_of_dhkd_s_mobilenets_get_their_usual_names(
    tmp_path: Path, name: str, ours: str, theirs: str
) -> None:
    main = seeded_model(name, 10, seed=0).state_dict()
    aside = behind("classifier2.", dict(auxiliary_head("linear", main[f"{ours}.weight"].shape[1], 10).state_dict()))
    found = read(written(tmp_path, renamed(ours, theirs, dict(main)) | aside))
    assert (found.architecture, found.hash) == (name, tensors_key(main))
    assert found.origin.notes == ("second head 'classifier2' dropped", f"head '{theirs}' renamed '{ours}'")


def test_counters_of_batch_norm_may_be_missing(tmp_path: Path, network: Network) -> None:
    old = {key: value for key, value in network.state_dict().items() if "num_batches_tracked" not in key}
    found = read(written(tmp_path, old))
    assert found.hash == tensors_key(network.state_dict())
    assert found.origin.notes == ("no 'num_batches_tracked' in the file: set to 0",)


def test_half_precision_becomes_float32(tmp_path: Path, network: Network) -> None:
    half = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    found = read(written(tmp_path, half))
    assert {value.dtype for value in found.state_dict.values()} == {torch.float32, torch.int64}
    torch.testing.assert_close(found.state_dict["conv1.weight"].half(), half["conv1.weight"])


def test_a_file_of_timm_s_keys_is_read_under_the_name_that_is_given(tmp_path: Path) -> None:
    main = seeded_model("timm:test_resnet", 10, seed=0)
    path = written(tmp_path, {key.removeprefix("network."): value for key, value in main.state_dict().items()})
    assert read(path, "timm:test_resnet").hash == tensors_key(main.state_dict())
    with pytest.raises(CheckpointError, match="fits no architecture"):
        read(path)


def test_between_equals_the_path_decides(tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS._entries, "twin8", partial(MODELS["resnet8"]))
    state = network.state_dict()
    assert read(written(tmp_path / "resnet8_vanilla", state)).architecture == "resnet8"
    assert read(written(tmp_path / "plain", state, "twin8.pth"), None).architecture == "twin8"
    unnamed = written(tmp_path / "plain", state)
    with pytest.raises(InputError, match="fits resnet8, twin8 alike; say which with --architecture"):
        read(unnamed)
    assert read(unnamed, "twin8").architecture == "twin8"


def test_two_names_of_one_definition_are_no_question(tmp_path: Path) -> None:
    path = written(tmp_path, seeded_model("imagenet/MobileNetV1", 3, seed=0).state_dict())
    assert read(path).architecture == "MobileNetV1"
    assert read(path, "imagenet/MobileNetV1").architecture == "imagenet/MobileNetV1"


def test_keys_count_more_than_a_name(tmp_path: Path, network: Network) -> None:
    found = read(written(tmp_path / "resnet56_vanilla", network.state_dict()))
    assert found.architecture == "resnet8"
    assert found.origin.notes == ("the path names resnet56, the weights do not",)
    both = read(written(tmp_path / "S:resnet8_T:resnet56_cifar100_kd", network.state_dict()))
    assert both.origin.notes == ()


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_is_refused_by_name_and_not_run(tmp_path: Path, network: Network, zipped: bool) -> None:
    marker = tmp_path / "executed"
    content = {"model": network.state_dict(), "opt": Touch(marker)}
    path = written(tmp_path, content, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"ckpt.pth holds Python objects \(getattr\) beside its tensors") as error:
        read(path)
    assert "weights_only" not in str(error.value)  # torch's own message explains how to run the code after all
    assert not marker.exists()


def test_code_inside_what_is_allowed_is_refused_and_not_run(tmp_path: Path, network: Network) -> None:
    marker = tmp_path / "executed"
    path = written(tmp_path, {"model": network.state_dict(), "opt": argparse.Namespace(lr=Touch(marker))})
    with pytest.raises(CheckpointError, match="holds Python objects"):
        read(path)
    path.write_bytes(pickle.dumps(Touch(marker)))
    with pytest.raises(CheckpointError, match=r"cannot be read|Python objects"):
        read(path)
    assert not marker.exists()


def test_a_whole_module_is_refused(tmp_path: Path, network: Network) -> None:
    with pytest.raises(
        CheckpointError, match=r"Python objects \(trainers.models.resnet.ResNet\) .*model.state_dict\(\)"
    ):
        read(written(tmp_path, {"model": network}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "holds a list; expected a state dict"),
        ({}, "holds a dict with the keys ; expected"),
        ({"epoch": 3, "model": {"lr": 0.1}}, "holds a dict with the keys epoch, model; expected a state dict, or one"),
        ({"weight": torch.zeros(3)}, "fits no architecture, and none is near; its own keys begin with weight"),
        ({0: torch.zeros(3)}, "holds a dict with the keys 0; expected"),
        (torch.zeros(3), "holds a Tensor; expected"),
        (nn.Linear(64, 10).state_dict(), "fits no architecture"),
    ],
    ids=["list", "empty", "no weights", "one tensor", "numbered", "tensor", "only a head"],
)
def test_what_is_no_network_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read(written(tmp_path, content))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x00\x01\x02", r"it begins with b'\\x00\\x01\\x02'"),
        (b"\x80\x02" + bytes(range(200)), "cannot be read as a torch weight file"),
    ],
    ids=["bytes", "noise"],
)
def test_what_is_no_weight_file_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path / "a.pth")


def test_a_torn_file_is_refused(tmp_path: Path, network: Network) -> None:
    path = written(tmp_path, network.state_dict())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cannot be read as a torch weight file"):
        read(path)


def test_other_shapes_are_refused_with_what_differs(tmp_path: Path, network: Network) -> None:
    state = dict(network.state_dict()) | {"conv1.weight": torch.zeros(16, 3, 5, 5)}
    with pytest.raises(
        CheckpointError, match=r"nearest is resnet8: conv1.weight is \[16, 3, 5, 5\] instead of \[16, 3, 3, 3\]"
    ):
        read(written(tmp_path, state))
    del state["layer1.0.bn1.weight"], state["conv1.weight"]
    state["extra"] = torch.zeros(1)
    with pytest.raises(
        CheckpointError,
        match=r"conv1.weight is missing; layer1.0.bn1.weight is missing; extra is unknown; its own keys",
    ):
        read(written(tmp_path, state), "resnet8")


def test_another_architecture_than_the_one_that_is_asked_for_is_refused(tmp_path: Path, network: Network) -> None:
    path = written(tmp_path, network.state_dict())
    with pytest.raises(CheckpointError, match=r"is no resnet14: layer1.1.conv1.weight is missing; .* and [0-9]+ more"):
        read(path, "resnet14")
    with pytest.raises(InputError, match=r"unknown model 'resnet9'; did you mean 'resnet8'\?"):
        read(path, "resnet9")


def test_nan_among_the_weights_is_refused(tmp_path: Path, network: Network) -> None:
    state = dict(network.state_dict()) | {"fc.bias": torch.full((10,), torch.nan)}
    with pytest.raises(CheckpointError, match=r"fc.bias holds NaN or infinite values"):
        read(written(tmp_path, state))


def test_a_missing_file_and_a_folder_are_the_user_s_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*nowhere.pth: No such file"):
        read(tmp_path / "nowhere.pth")
    with pytest.raises(InputError, match="is a folder; name a weight file in it"):
        read(tmp_path)


# -- files that are not what they seem ---------------------------------------------------------------------------------


def quantised(weight: Tensor) -> Tensor:
    with warnings.catch_warnings(action="ignore"):
        return torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)


ODD: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "sparse": (lambda weight: weight.to_sparse(), r"is a sparse or nested tensor \(sparse_coo\)"),
    "sparse rows": (lambda weight: weight.flatten(1).to_sparse_csr(), r"is a sparse or nested tensor \(sparse_csr\)"),
    "quantised": (quantised, "holds quantised numbers"),
    "meta": (lambda weight: weight.to("meta"), r"has no numbers \(its device is meta\)"),
    "complex": (lambda weight: weight.to(torch.complex64), "holds complex64 numbers"),
    "int8": (lambda weight: weight.to(torch.int8), "holds int8 numbers"),
    "float8": (lambda weight: weight.to(torch.float8_e4m3fn), "holds float8_e4m3fn numbers"),
    "expanded": (
        lambda weight: torch.zeros(1).expand(10**10, 64),
        "claims 2,560,000,000,000 bytes, of which the file has 4",
    ),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("key", ["fc.weight", "conv1.weight"])
def test_what_are_no_weights_is_refused_by_name(tmp_path: Path, network: Network, key: str, odd: str) -> None:
    make, message = ODD[odd]
    with warnings.catch_warnings(action="ignore"):
        path = written(tmp_path, dict(network.state_dict()) | {key: make(network.state_dict()[key])})
    with pytest.raises(CheckpointError, match=rf"ckpt.pth: {key} {message}; weights are dense tensors of float32"):
        read(path)


def test_whole_numbers_are_no_weights(tmp_path: Path, network: Network) -> None:
    state = network.state_dict()
    path = written(tmp_path, dict(state) | {"conv1.weight": state["conv1.weight"].long()})
    with pytest.raises(CheckpointError, match=r"nearest is resnet8: conv1.weight holds int64 instead of float32$"):
        read(path)
    every = {key: value.long() for key, value in state.items()}
    with pytest.raises(CheckpointError, match=r"is no resnet8: conv1.weight holds int64 instead of float32; "):
        read(written(tmp_path, every), "resnet8")


def test_counters_may_be_any_numbers(tmp_path: Path, network: Network) -> None:
    averaged = {key: value.double() for key, value in network.state_dict().items()}
    found = read(written(tmp_path, averaged))
    assert found.hash == tensors_key(network.state_dict())


def test_weights_that_are_views_are_read(tmp_path: Path, network: Network) -> None:
    together = torch.cat([value.flatten() for value in network.state_dict().values() if value.is_floating_point()])
    views, start = dict(network.state_dict()), 0
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            views[key], start = together[start : start + value.numel()].view(value.shape), start + value.numel()
    views["fc.weight"] = views["fc.weight"].t().contiguous().t()
    assert read(written(tmp_path, views)).hash == tensors_key(network.state_dict())


def test_a_path_that_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")  # to open it would wait for a writer for ever
    with pytest.raises(InputError, match=r"pipe.pth is a pipe, not a file"):
        read(tmp_path / "pipe.pth")
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"zero.safetensors is a device, not a file"):
        read(tmp_path / "zero.safetensors")
    with pytest.raises(InputError, match=r"a\\0b: no file can have such a name"):
        read(tmp_path / "a\0b")


@pytest.mark.parametrize("name", ["hole.pth", "hole.safetensors"])
def test_a_file_is_not_read_into_memory_before_it_is_known(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(10**12)  # a hole: no place on the disk
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read as a"):
        read(tmp_path / name)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, network: Network) -> None:
    path = written(tmp_path, dict(network.state_dict()) | {"more": torch.zeros(500_000)})
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for part in whole.namelist():
            packed.writestr(part, whole.read(part))
    with pytest.raises(CheckpointError, match=r"weight file: its parts claim 2,[0-9,]+ bytes, the file has [0-9,]+$"):
        read(tmp_path / "packed.pth")
