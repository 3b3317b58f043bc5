"""`sweep students export`, as it is typed, on a student that was really trained; and the same from Python."""

from __future__ import annotations

import json
import re
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

import sweep
from sweep.cli.app import app, main
from sweep.layout import Root
from sweep.ledger.bodies import final_body, start_body
from sweep.ledger.store import Ledger
from sweep.packs.packing import pack
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.python.student import Student
from sweep.students.file_formats import FORMATS
from tests.support.examples import begin, job_of, record, slot_of, small_spec
from tests.support.students import data_of, images_of
from trainers.data import ImageData
from trainers.errors import InputError
from trainers.fit import fit, seeded_model
from trainers.teacher.store import TeacherStore

PAIR = "resnet20 -> resnet8"
FIELD = re.compile(r"\*to be filled in\*")


@pytest.fixture(scope="module")
def data() -> ImageData:
    return data_of(8)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, data: ImageData) -> tuple[Root, Plan]:
    """A root with a sweep: its teacher is stored and has a passport, scratch and kd of seed 0 were really trained, and
    the weights of dhkd are gone."""
    root = Root(tmp_path_factory.mktemp("ran") / "runs")
    recipe = {"base": "digits", "epochs": 1, "warmup_epochs": 0, "samples_per_class": 10}
    plan = build_plan(small_spec(recipe=recipe, seeds=1))
    teacher = seeded_model("resnet20", 10, 7).eval()
    with closing(Ledger(root.sweep("small").ledger)) as ledger:
        begin(ledger, plan)
        (slot,) = plan.teachers
        last = record(ledger, plan, slot, [97.0], val_accs=[96.0])
        stored = job_of(plan, slot).trial
        assert last == stored.key
        for label in ("scratch", "kd"):
            job = job_of(plan, slot_of(plan, label))
            given = teacher if label == "kd" else None
            epochs = [
                asdict(one)
                for one in fit(job.trial, data=data, teacher=given, folder=root.sweep("small").trial(job.key))
            ]
            ledger.append("start", job.key, body=start_body(job.slot, job.trial))
            ledger.append("final", job.key, body=final_body("finished", epochs, plan.protocol))
        record(ledger, plan, slot_of(plan, "dhkd α=1"), [50.0], val_accs=[1.0])
    root.sweep("small").lock.touch()
    assert TeacherStore(root.teachers).passports() == []
    return root, plan


def typed(root: Root, *words: str) -> str:
    given = ["students", "export", "small", "--pair", PAIR, "--root", str(root.path), *words]
    done = CliRunner().invoke(app, given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def snippet(card: str, file: str) -> str:
    """The three lines of a card by which a file is used."""
    return card.partition(f"`{file}` (")[2].partition("```python\n")[2].partition("```")[0]


@pytest.mark.slow(10)
@pytest.mark.parametrize("pixels", ["float", "uint8"])
def test_a_user_of_the_card_gets_the_student_s_logits_by_its_three_lines(
    ran: tuple[Root, Plan], data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: str
) -> None:
    out = tmp_path / "out"
    for form in FORMATS:
        said = typed(ran[0], "--method", "kd", "--format", form, "--pixels", pixels, "--out", str(out))
        assert "checked  the student's logits on 200 test images of digits: they differ by at most" in said
    card = (out / "README.md").read_text()
    raw, _ = images_of(data, 3)
    images = raw if pixels == "uint8" else raw.float() / 255
    student = sweep.open("small", root=ran[0].path).student(PAIR, "kd")
    with torch.no_grad():
        expected = student(raw)
    monkeypatch.chdir(out)
    for file in ("model.safetensors", "model.onnx", "model.pt2"):
        lines = snippet(card, file)
        assert len(lines.strip().splitlines()) == 3
        names: dict[str, Any] = {"images": images.numpy() if file.endswith("onnx") else images}
        with torch.no_grad():
            exec(lines, names)
        logits = torch.from_numpy(names["logits"]) if isinstance(names["logits"], np.ndarray) else names["logits"]
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


def test_the_card_tells_all_that_is_known_and_leaves_the_licences_to_the_user(
    ran: tuple[Root, Plan], tmp_path: Path
) -> None:
    root, plan = ran
    typed(root, "--method", "kd", "--format", "safetensors", "--out", str(tmp_path / "out"))
    card = (tmp_path / "out" / "README.md").read_text()
    told = json.loads((tmp_path / "out" / "student.json").read_text())
    trial = slot_of(plan, "kd").config
    assert trial["dataset"]["content"] in card
    assert "resnet8 on digits, taught by resnet20" in card
    assert f"| this student (seed 0) | {told['accuracy']['test_acc']:.2f} |" in card
    assert "temperature 4" in card
    assert f"epochs {trial['recipe']['epochs']}" in card
    assert "97.00 % top-1 on the test set, its passport is not at hand" in card
    assert "Classes**, in the order of the logits: 0, 1, 2" in card
    assert len(FIELD.findall(card)) == 5
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["license"] is None
    assert head["model-index"][0]["results"][0]["metrics"][0]["value"] == told["accuracy"]["test_acc"]
    assert str(root.path) not in card + json.dumps(told), "no path of this machine travels"


def test_without_a_method_the_choice_is_told(
    ran: tuple[Root, Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = typed(ran[0], "--format", "safetensors")
    assert re.search(r"^chosen   row (scratch|kd): the highest mean validation accuracy", said, re.MULTILINE)
    assert "chosen   seed 0: the only one" in said
    (folder,) = tmp_path.iterdir()
    assert re.fullmatch(r"small-resnet8-(scratch|kd)-seed0", folder.name)
    assert "Test accuracy chose no seed." in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--format", "pickle"), "unknown format 'pickle'; valid: onnx, safetensors, torch-export"),
        (("--format", "onnx", "--method", "dhkd α=1"), "are not there"),
        (("--format", "onnx", "--method", "kdd"), "unknown row 'kdd'; did you mean 'kd'"),
        (("--format", "onnx", "--seed", "5"), "unknown seed '5'; valid: 0"),
    ],
)
def test_what_cannot_be_exported_is_one_message(
    ran: tuple[Root, Plan], words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["students", "export", "small", "--pair", PAIR, "--root", str(ran[0].path), *words])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("sweep: ")
    assert error.count("\n") == 1


def test_a_folder_below_home_is_there_and_what_lies_in_one_is_not_obeyed(
    ran: tuple[Root, Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    typed(ran[0], "--method", "kd", "--format", "safetensors", "--out", "~/out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    told = json.loads((tmp_path / "out" / "student.json").read_text())
    told |= {"weights": "another", "place": told["place"] | {"row": "\x1b[2Jkd"}}
    (tmp_path / "out" / "student.json").write_text(json.dumps(told))
    words = ("--method", "kd", "--format", "safetensors", "--out", "~/out")
    with pytest.raises(SystemExit):
        main(["students", "export", "small", "--pair", PAIR, "--root", str(ran[0].path), *words])
    assert r"holds another student (\x1b[2Jkd, seed 0)" in capsys.readouterr().err


@pytest.mark.slow(1)
def test_from_python_as_from_the_command_line(ran: tuple[Root, Plan], tmp_path: Path) -> None:
    student = sweep.open("small", root=ran[0].path).student(PAIR, "kd")
    assert isinstance(student, Student)
    check = student.export("torch-export", tmp_path / "out", pixels="uint8")
    assert check.same_predictions == check.images == 200
    assert (tmp_path / "out" / "model.pt2").exists()
    with pytest.raises(InputError, match=r"evaluation mode and on the CPU: student\.eval\(\)\.cpu\(\)"):
        student.train().export("torch-export", tmp_path / "other")
    images = {"size": [8, 8], "mean": [0.5] * 3, "std": [0.5] * 3}
    with pytest.raises(InputError, match="this student is of no sweep"):
        Student(torch.nn.Flatten(), images).eval().export("onnx", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_without_a_method_python_gives_the_best_student(ran: tuple[Root, Plan]) -> None:
    results = sweep.open("small", root=ran[0].path)
    best = results.student(PAIR, seed=None)
    named = results.student(PAIR, best.about.row, best.about.seed)
    assert all(torch.equal(best.state_dict()[name], value) for name, value in named.state_dict().items())
    assert len(best.about.chosen) == 2


@pytest.mark.slow(8)
def test_a_student_of_a_pack_is_exported_as_at_home(ran: tuple[Root, Plan], tmp_path: Path) -> None:
    file = pack(ran[0].sweep("small"), tmp_path / "small.sweep.zip", lambda _: None)
    packed = sweep.open(str(file)).student(PAIR, "kd")
    home = sweep.open("small", root=ran[0].path).student(PAIR, "kd")
    packed.export("safetensors", tmp_path / "packed")
    home.export("safetensors", tmp_path / "home")
    here, there = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("home", "packed"))
    assert here == there
