"""A trained student off an MLflow server: a real one, of a store in SQLite; what it computes, and what is refused."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sweep
from sweep.layout import Root
from sweep.python.results import Results
from sweep.students.loading import load_student
from sweep.tracking.model_files import images_of, save
from sweep.tracking.sync import log_models, sync
from tests.support.examples import SPEC
from trainers.code import current, unload
from trainers.errors import CheckpointError, InputError, StorageError
from trainers.own.models import PlainNetwork

pytestmark = pytest.mark.slow(15)

PAIR = "resnet8 -> tinynet"
OWN = """
from torch import nn
from trainers import model

@model("tinynet")
def tinynet(num_classes: int):
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, num_classes))
"""
TINY: dict[str, Any] = SPEC | {
    "recipe": {"base": "digits", "epochs": 1, "warmup_epochs": 0, "samples_per_class": 2, "test_per_class": 2},
    "pairs": [PAIR],
    "methods": ["scratch", "kd"],
    "code": ["my_nets.py"],
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[tuple[Results, str]]:
    """A sweep with a network of its user's, and the server that has its best students; the code is gone."""
    folder = tmp_path_factory.mktemp("ran")
    shutil.copyfile(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    (folder / "my_nets.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sweep.engine.session.environment", lambda *_: None)
        results = sweep.load(TINY).run(folder / "runs", local=True, tracking_uri=uri, progress=False)
        (folder / "my_nets.py").unlink()
        unload()
        yield results, uri
    unload()


@pytest.fixture
def elsewhere(ran: tuple[Results, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """The same as somebody sees it who has the server's address alone."""
    unload()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return sweep.open("small", tracking_uri=ran[1])


def logged_seed(results: Results) -> int:
    """Of kd's two students the better one, which is logged."""
    (best,) = results.trials().query("label == 'kd'").sort_values(["val_acc", "seed"], ascending=[False, True]).seed[:1]
    return int(best)


def test_a_student_off_a_server_says_what_the_one_below_the_root_says_and_runs_no_code(
    ran: tuple[Results, str], elsewhere: Results, tmp_path: Path
) -> None:
    seed = logged_seed(ran[0])
    student = elsewhere.student(PAIR, "kd", seed)
    assert not current(), "the sweep's own code was not needed"
    assert list(tmp_path.iterdir()) == [], "nothing of it is left"
    assert isinstance(student, torch.nn.Module)
    assert (student.size, student.training) == ((8, 8), False)
    known = ran[0].student(PAIR, "kd", seed)
    assert student.state_dict().keys() == known.state_dict().keys()
    for count in (1, 5):
        images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8)
        torch.testing.assert_close(student(images), known(images))
    assert student.eval() is student
    with pytest.raises(InputError, match=r"to train it on, open the sweep where it ran"):
        student.train()


@pytest.mark.parametrize("form", ["onnx", "torch-export"])
def test_a_student_off_a_server_is_exported_as_the_graph_that_it_is(
    ran: tuple[Results, str], elsewhere: Results, tmp_path: Path, form: str
) -> None:
    seed = logged_seed(ran[0])
    student = elsewhere.student(PAIR, "kd", seed)
    check = student.export(form, tmp_path / "out")
    assert check.on.endswith("as the server does not tell which its images are")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| data set | `digits`, its content hash is not known |" in card
    assert "| teacher | `resnet8`, its content hash is not known" in card
    assert "Their names are not known: these are numbers." in card
    with pytest.raises(
        InputError, match=r"has its graph alone: export it as onnx or torch-export, or where the sweep ran"
    ):
        student.export("safetensors", tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_a_network_of_one_s_own_becomes_a_graph_that_needs_none_of_its_code(
    ran: tuple[Results, str], tmp_path: Path
) -> None:
    student = ran[0].student(PAIR, "kd", logged_seed(ran[0]))
    for form in ("onnx", "torch-export", "safetensors"):
        student.export(form, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "its network is the sweep's own code, which must be imported before" in card
    unload()
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    graph = torch.export.load(tmp_path / "out" / "model.pt2").module()
    torch.testing.assert_close(graph(images.float() / 255), student(images))
    with pytest.raises(CheckpointError, match="unknown model 'tinynet'"):
        load_student(tmp_path / "out" / "model.safetensors")


def test_a_student_that_was_not_logged_is_refused_with_those_that_were(
    ran: tuple[Results, str], elsewhere: Results
) -> None:
    seed = logged_seed(ran[0])
    with pytest.raises(InputError) as refused:
        elsewhere.student(PAIR, "kd", 1 - seed)
    said = str(refused.value)
    assert said.startswith(
        f"MLflow at {ran[1]} has no model of resnet8→tinynet · kd · seed {1 - seed}; it has those of"
    )
    assert f"resnet8→tinynet · kd · seed {seed}, resnet8→tinynet · scratch · seed" in said
    assert "`tracking: {models: all}`" in said


def test_why_a_student_could_not_be_logged_is_told(ran: tuple[Results, str], tmp_path: Path, empty_store: Path) -> None:
    shutil.copytree(ran[0]._below.path, tmp_path / "runs")
    shutil.copyfile(empty_store, tmp_path / "other.db")
    root, uri, seed = Root(tmp_path / "runs"), f"sqlite:///{tmp_path}/other.db", logged_seed(ran[0])
    for file in root.sweep("small").folder.rglob("weights.pt"):
        file.write_bytes(b"no weights")
    sync(root, "small", uri)
    log_models(root, "small", uri, lambda _: None)
    told = sweep.open("small", tracking_uri=uri)
    with pytest.raises(InputError, match=r"\(not logged: weights .*\); it has none of this sweep's students"):
        told.student(PAIR, "kd", seed)


def test_a_place_without_a_student_is_refused_as_below_a_root(elsewhere: Results) -> None:
    with pytest.raises(InputError, match="unknown row 'kdd'; did you mean 'kd'"):
        elsewhere.student(PAIR, "kdd")
    with pytest.raises(InputError, match="unknown seed '7'"):
        elsewhere.student(PAIR, "kd", 7)


@pytest.fixture
def graphs(ran: tuple[Results, str]) -> Iterator[list[Path]]:
    """Where the server has the networks' graphs; put back afterwards."""
    before = {path: path.read_bytes() for path in ran[0]._below.artifacts.rglob("model.pt2")}
    yield list(before)
    for path, content in before.items():
        path.write_bytes(content)


class Evil:
    """What runs a command where it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_a_graph_that_would_run_code_is_refused(
    ran: tuple[Results, str], elsewhere: Results, graphs: list[Path], tmp_path: Path
) -> None:
    for path in graphs:
        spoil(path, Evil(f"touch {tmp_path}/RAN"))
    with pytest.raises(CheckpointError, match=r"the model of .* is none that a sweep has logged: "):
        elsewhere.student(PAIR, "kd", logged_seed(ran[0]))
    assert not (tmp_path / "RAN").exists()


def spoil(archive: Path, payload: object) -> None:
    """Put a pickle in the place of the example inputs of a graph."""
    with zipfile.ZipFile(archive) as old:
        content = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(archive, "w") as new:
        for name, data in content.items():
            new.writestr(name, pickle.dumps(payload) if "sample_inputs" in name else data)


class ByLength(nn.Module):
    """Asks for the number of images in the way that fixes it in a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(192, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(images.reshape(len(images), -1))  # type: ignore[no-any-return]


def test_a_graph_of_one_number_of_images_is_not_logged(tmp_path: Path) -> None:
    images = {"size": [8, 8], "classes": 10, "mean": [0.5] * 3, "std": [0.5] * 3}
    with pytest.raises(ValueError, match=r"its graph takes 2 images at a time alone: .* len\(\)"):
        save(PlainNetwork("net", ByLength(), 10).eval(), images, tmp_path / "model", {})


def test_a_graph_that_is_gone_is_named(ran: tuple[Results, str], elsewhere: Results, graphs: list[Path]) -> None:
    for path in graphs:
        path.unlink()
    with pytest.raises((CheckpointError, StorageError), match=r"the model of .* cannot be fetched: "):
        elsewhere.student(PAIR, "kd", logged_seed(ran[0]))


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "[]",
        "signature: {inputs: '[]'}",
        "signature: {inputs: 3}\nmetadata: {}",
        'metadata: {mean: [1, 2], std: [1, 2]}\nsignature: {inputs: \'[{"tensor-spec": {"shape": [-1, 3, 8, 8]}}]\'}',
        "metadata: {mean: [1, 2, 3], std: [1, 0, 2]}\n"
        'signature: {inputs: \'[{"tensor-spec": {"shape": [-1, 3, 8, 8]}}]\'}',
    ],
)
def test_what_does_not_say_what_its_images_go_through_is_refused(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(wrong)
    with pytest.raises((ValueError, TypeError, KeyError)):
        images_of(tmp_path / "MLmodel")
