"""A student as files: each is read as its users read it, and gives the student's logits for any number of images."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sweep.students import file_formats
from sweep.students.about import About
from sweep.students.checking import TOLERANCE
from sweep.students.exporting import export
from sweep.students.file_formats import FORMATS, OPSET
from sweep.students.graph import TYPES, traced
from sweep.students.loading import load_student
from sweep.students.student import Student
from tests.support.students import data_of, images_of, settled, student_of
from trainers.distillers.dho import two_heads
from trainers.distillers.simkd import reused_classifier
from trainers.errors import CheckpointError, InputError
from trainers.fit import seeded_model
from trainers.own.models import PlainNetwork
from trainers.teacher.pretrained import read as read_teacher

GRAPHS = ("onnx", "torch-export")
FAMILIES = [
    ("resnet8", 8),
    pytest.param("wrn_16_1", 16, marks=pytest.mark.slow(3)),
    pytest.param("vgg8", 32, marks=pytest.mark.slow(3)),
    pytest.param("MobileNetV2", 32, marks=pytest.mark.slow(10)),
    pytest.param("imagenet/MobileNetV2", 64, marks=pytest.mark.slow(15)),
    pytest.param("ShuffleV1", 32, marks=pytest.mark.slow(8)),
    pytest.param("ShuffleV2", 32, marks=pytest.mark.slow(8)),
    pytest.param("timm:resnet10t", 32, marks=pytest.mark.slow(5)),
    pytest.param("timm:deit_tiny_patch16_224", 32, marks=pytest.mark.slow(10)),
]


def run_onnx(file: Path, images: Tensor) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


def run_graph(file: Path, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.export.load(file).module()(images)


def run_weights(file: Path, images: Tensor) -> Tensor:
    with torch.no_grad():
        return load_student(file)(images)


RUN = {"onnx": run_onnx, "torch-export": run_graph, "safetensors": run_weights}


def same_logits(found: Tensor, student: Student, images: Tensor) -> None:
    with torch.no_grad():
        expected = student(images)
    assert expected.abs().max() > 0.01, "the logits say something"
    assert expected.std(dim=0).max() > 1e-3, "and not the same of every image"
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE * max(1.0, float(expected.abs().max())))


def tiny(size: int = 8) -> tuple[Student, About]:
    return student_of(settled(seeded_model("resnet8", 10, 3), size), size, "resnet8")


Files = Callable[[str, str], Path]
"""By format and pixels."""


@pytest.fixture(scope="module")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Student, Files]:
    """One of :func:`tiny` and its files, each made once."""
    student, about = tiny()

    @cache
    def made(form: str, pixels: str) -> Path:
        return export(student, about, form, tmp_path_factory.mktemp("tiny"), pixels=pixels).file

    return student, made


@pytest.fixture
def one_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A student is traced once for all formats; that takes most of an export's time."""
    monkeypatch.setattr(file_formats, "traced", cache(traced))


@pytest.mark.usefixtures("one_trace")
@pytest.mark.parametrize(("model", "size"), FAMILIES)
def test_every_family_gives_its_logits_in_every_format(model: str, size: int, tmp_path: Path) -> None:
    student, about = student_of(settled(seeded_model(model, 10, 3), size), size, model)
    images, _ = images_of(data_of(size), 5)
    for form in FORMATS:
        made = export(student, about, form, tmp_path / "out")
        same_logits(RUN[form](made.file, images.float() / 255), student, images)
        assert made.check.on == "200 test images of digits"
        assert made.check.largest_difference <= made.check.allowed


@pytest.mark.slow(1)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("method", ["simkd", "dho"])
def test_methods_that_predict_through_more_than_the_student_are_exported_whole(
    form: str, method: str, tmp_path: Path
) -> None:
    student, teacher = seeded_model("resnet8", 10, 3), seeded_model("vgg8", 10, 4)
    config: dict[str, Any]
    if method == "simkd":
        network: nn.Module = reused_classifier(student, teacher, (8, 8), factor=2)
        config = {"method": {"name": "simkd", "params": {"factor": 2}}}
    else:
        network = two_heads(student, 10, alpha=0.3, beta=0.7)
        config = {"method": {"name": "dho", "params": {"alpha": 0.3, "beta": 0.7}}}
    whole, about = student_of(settled(network, 8), 8, "resnet8", **config)
    about = About(**{**vars(about), "teacher": {"architecture": "vgg8", "hash": "a" * 16}})
    made = export(whole, about, form, tmp_path / "out")
    images, _ = images_of(data_of(8), 5)
    same_logits(RUN[form](made.file, images.float() / 255), whole, images)
    if form == "safetensors":  # as a teacher it would be cut down to a student that it never was
        with pytest.raises(CheckpointError, match=f"holds a resnet8 with what the method '{method}' predicts through"):
            read_teacher(made.file)


def test_an_exported_student_may_teach(tmp_path: Path) -> None:
    student, about = student_of(
        settled(seeded_model("resnet8", 10, 3), 8), 8, "resnet8", method={"name": "kd", "params": {}}
    )
    found = read_teacher(export(student, about, "safetensors", tmp_path / "out").file)
    assert (found.architecture, found.origin.notes) == ("resnet8", ())
    assert found.origin.form == "an exported student of this project"


@pytest.mark.slow(3)
@pytest.mark.parametrize("form", GRAPHS)
def test_a_graph_reads_bytes_or_floats_of_any_number_of_images(form: str, tiny_files: tuple[Student, Files]) -> None:
    student, file = tiny_files
    for count in (1, 3, 64):
        images, _ = images_of(data_of(8), count)
        with torch.no_grad():
            expected = student(images)
        for pixels, given in (("uint8", images), ("float", images.float() / 255)):
            found = RUN[form](file(form, pixels), given)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.slow(2)
@pytest.mark.parametrize("form", GRAPHS)
@pytest.mark.parametrize("pixels", [torch.float32, torch.uint8])
def test_a_graph_refuses_pixels_of_another_type(
    form: str, pixels: torch.dtype, tiny_files: tuple[Student, Files]
) -> None:
    file = tiny_files[1](form, "uint8" if pixels == torch.uint8 else "float")
    images, _ = images_of(data_of(8), 3)
    for wrong in {torch.uint8, torch.float16, torch.float32, torch.float64, torch.int32, torch.int64} - {pixels}:
        with pytest.raises(Exception, match=r"(?i)dtype mismatch|unexpected input data type"):
            RUN[form](file, images.to(wrong))
    assert RUN[form](file, images.to(pixels)).shape == (3, 10)


def test_a_graph_whose_layers_are_hidden_refuses_them_too() -> None:
    student, _ = student_of(Hidden().eval(), 8, "mine")
    network = traced(student, "float", "mine").module()
    with pytest.raises(RuntimeError, match="dtype mismatch"):
        network(torch.zeros(3, 3, 8, 8, dtype=torch.uint8))


@pytest.mark.slow(1)
def test_a_graph_that_takes_other_pixels_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TYPES, "float", None)  # nothing is asserted
    student, about = tiny()
    with pytest.raises(CheckpointError, match=r"model\.pt2 takes uint8 pixels for float ones; it was removed"):
        export(student, about, "torch-export", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow(2)
def test_an_onnx_file_is_one_file_that_names_its_axes_opset_and_classes(tmp_path: Path) -> None:
    import onnx

    student, about = tiny()
    file = export(student, about, "onnx", tmp_path / "out").file
    model = onnx.load(str(file))
    onnx.checker.check_model(model, full_check=True)
    assert [one.version for one in model.opset_import if one.domain == ""] == [OPSET]
    (read,), (said,) = model.graph.input, model.graph.output
    shapes = [[d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim] for one in (read, said)]
    assert shapes == [["batch", 3, 8, 8], ["batch", 10]]
    told = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert told["classes"] == [str(digit) for digit in range(10)]
    assert told["preprocessing"] == about.images
    assert sorted(path.name for path in file.parent.iterdir()) == ["README.md", "model.onnx", "student.json"]


@pytest.mark.slow(5)
def test_a_folder_holds_one_student_in_several_formats(tmp_path: Path) -> None:
    student, about = tiny()
    for form in FORMATS:
        export(student, about, form, tmp_path)
    told = json.loads((tmp_path / "student.json").read_text())
    assert sorted(told["files"]) == ["model.onnx", "model.pt2", "model.safetensors"]
    assert told["files"]["model.onnx"]["pixels"] == "float"
    assert "pixels" not in told["files"]["model.safetensors"]
    card = (tmp_path / "README.md").read_text()
    assert all(f"`{name}`" in card for name in told["files"])
    export(student, about, "onnx", tmp_path, pixels="uint8")
    assert json.loads((tmp_path / "student.json").read_text())["files"]["model.onnx"]["pixels"] == "uint8"


def test_what_else_lies_in_a_folder_is_not_touched(tmp_path: Path) -> None:
    student, about = tiny()
    export(student, about, "safetensors", tmp_path / "one")
    other = student_of(settled(seeded_model("resnet8", 10, 4), 8), 8, "resnet8")
    with pytest.raises(InputError, match=r"one holds another student \(kd, seed 0\); name another folder with --out"):
        export(*other, "safetensors", tmp_path / "one")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "student.json").write_text("[]")
    for name, says in (
        ("mine", "holds other files"),
        ("file", "is a file, where a"),
        ("odd", "was not written"),
    ):
        with pytest.raises(InputError, match=f"{name} .*{says}.*; name another.* with --out"):
            export(student, about, "safetensors", tmp_path / name)
    assert (tmp_path / "mine" / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: entry.pop("format"),
        lambda entry: entry.pop("check"),
        lambda entry: entry.pop("torch"),
        lambda entry: entry.update(format="pickle"),
        lambda entry: entry.update(format="onnx"),
        lambda entry: entry["check"].pop("on"),
        lambda entry: entry["check"].update(allowed="much"),
        lambda entry: entry.update(check=[]),
        lambda entry: entry.update(format=[]),
    ],
)
def test_a_folder_whose_files_are_described_otherwise_is_not_ours(
    damage: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    student, about = tiny()
    export(student, about, "safetensors", tmp_path)
    told = json.loads((tmp_path / "student.json").read_text())
    damage(told["files"]["model.safetensors"])
    (tmp_path / "student.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"holds a student\.json that was not written here; name another folder"):
        export(student, about, "torch-export", tmp_path)
    assert not (tmp_path / "model.pt2").exists()


class Changes(nn.Module):
    """One whose graph is not what it computes: exactly what the check is for."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(192, 10)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.head(images.flatten(1))
        return logits + 0.01 if torch.compiler.is_exporting() else logits


class Hidden(nn.Module):
    """One whose layer is not what its name gives, as that of MobileNetV2."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(192, 10))

    @property
    def head(self) -> nn.Module:
        return self._modules["head"][0]  # type: ignore[index, no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))  # type: ignore[no-any-return]


class Counts(Changes):
    """One that takes one number of images alone, in its graph."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.reshape(len(images), 192))


class Asks(Changes):
    """One whose path depends on the pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1) if images.mean() > 0 else -images.flatten(1))


@pytest.mark.parametrize("form", GRAPHS)
def test_a_file_that_gives_other_logits_is_removed_and_named(form: str, tmp_path: Path) -> None:
    student, about = student_of(PlainNetwork("mine", Changes(), 10).eval(), 8, "mine")
    says = r"does not give the student's logits on 200 test images of digits: they differ by at most 1\.0e-02 .*removed"
    with pytest.raises(CheckpointError, match=says):
        export(student, about, form, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", GRAPHS)
@pytest.mark.parametrize("network", [Counts, Asks])
def test_a_network_without_such_a_graph_is_refused_by_name(form: str, network: type[Changes], tmp_path: Path) -> None:
    student, about = student_of(PlainNetwork("mine", network(), 10).eval(), 8, "mine")
    with pytest.raises(InputError) as error:
        export(student, about, form, tmp_path / "out")
    assert str(error.value).startswith(
        "the student of resnet20→mine · kd · seed 0 (mine) cannot be exported as a graph"
    )
    assert "--format safetensors needs no graph" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("form", "pixels", "says"),
    [
        ("onxx", "float", "unknown format 'onxx'; did you mean 'onnx'"),
        ("onnx", "int8", "unknown pixels 'int8'; did you mean 'uint8'"),
    ],
)
def test_words_that_are_none_are_refused(form: str, pixels: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        export(*tiny(), form, tmp_path / "out", pixels=pixels)


@pytest.mark.slow(1)
def test_a_package_that_is_missing_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else real(name))
    with pytest.raises(InputError, match=r"--format onnx needs onnxruntime: uv sync --extra onnx"):
        export(*tiny(), "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export(*tiny(), "torch-export", tmp_path / "out")


@pytest.mark.slow(4)
def test_without_its_data_set_a_student_is_checked_on_random_pixels(tmp_path: Path) -> None:
    student, about = tiny()
    other = {"dataset": about.config["dataset"] | {"content": "f" * 16}}
    gone = {"dataset": {"name": "cifar10", "options": {}, "content": "f" * 16}}
    for name, config, says in (("a", other, "is another one"), ("b", gone, "not at hand")):
        source = {"path": str(tmp_path / "none"), "download": True} if name == "b" else about.source
        known = About(**{**vars(about), "config": about.config | config, "source": source})
        made = export(student, known, "onnx", tmp_path / name)
        assert made.check.on.startswith("200 images of random pixels, as ")
        assert says in made.check.on


@pytest.mark.parametrize("damage", [b"", b"nothing of the kind", b"{}" * 100])
def test_a_file_that_is_no_student_is_refused(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(damage)
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read as a safetensors file"):
        load_student(tmp_path / "model.safetensors")


def test_weights_that_do_not_say_what_their_images_are_are_refused(tmp_path: Path) -> None:
    from trainers.storage.safetensors import to_bytes

    (tmp_path / "model.safetensors").write_bytes(to_bytes({"weight": torch.ones(3)}, {"format": '"pt"'}))
    with pytest.raises(CheckpointError, match="do not say what their images are"):
        load_student(tmp_path / "model.safetensors")
