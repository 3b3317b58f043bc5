"""A sweep as one file, and the same sweep elsewhere."""

from __future__ import annotations

import gc
import json
import os
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import sweep
from sweep.cli.app import app, main
from sweep.layout import Root
from sweep.ledger import lock
from sweep.ledger.store import Ledger
from sweep.packs.contents import FORMATS
from sweep.packs.manifest import MANIFEST
from sweep.packs.packing import pack
from sweep.packs.unpacking import unpack
from sweep.plan.code import keep
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.examples import begin, job_of, record, slot_of, small_spec
from trainers.code import Code
from trainers.config import TeacherConfig
from trainers.errors import InputError
from trainers.fit import seeded_model
from trainers.storage.checkpoint import save_tensors
from trainers.storage.safetensors import from_bytes

HOW = {"markdown": "md", "csv": "csv", "json": "json", "latex": "tex"}
RAN = "raise SystemExit('the code of a pack was run')\n"


def quiet(_: object) -> None:
    """Where nobody listens."""


def network() -> torch.nn.Module:
    return seeded_model("resnet8", 10, 3).eval()


def weigh(root: Root, key: str) -> None:
    """A finished trial's weights, as the training loop writes them."""
    content = {"architecture": "resnet8", "method": {"name": "kd", "params": {}}, "teacher": "resnet20"}
    names = [f"class {n}" for n in range(10)]
    state = {"classes": names, "state_dict": network().state_dict()}
    save_tensors(root.sweep("small").trial(key) / "weights.pt", content | state)


def told(root: Root, plan: Plan) -> None:
    """A sweep that has come to its end, but for a trial that runs, or whose driver was killed; kd has weights."""
    with closing(Ledger(root.sweep("small").ledger)) as ledger:
        begin(ledger, plan, small_spec())
        for slot in plan.slots:
            left = slot == slot_of(plan, "dhkd α=1", 1)
            record(ledger, plan, slot, [70.0, 80.0 + slot.seed], "running" if left else "finished")
    weigh(root, job_of(plan, slot_of(plan, "kd")).key)
    root.sweep("small").lock.touch()


HEARD: list[str] = []
"""What could not be packed."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Root, Path]:
    """A root with a sweep, and the pack that was made of it."""
    folder = tmp_path_factory.mktemp("packed")
    root = Root(folder / "runs")
    told(root, build_plan(small_spec()))
    HEARD.clear()  # the tests of this file may not follow each other
    return root, pack(root.sweep("small"), folder / "small.sweep.zip", quiet, HEARD.append)


def shown(root: Root, *words: str) -> bytes:
    done = CliRunner().invoke(app, [*words, "small", "--root", str(root.path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout_bytes


@pytest.mark.parametrize("how", [*HOW, "table"])
def test_the_table_is_the_same_elsewhere_byte_for_byte(shared: tuple[Root, Path], tmp_path: Path, how: str) -> None:
    root, file = shared
    other = Root(tmp_path / "elsewhere" / "runs")
    assert unpack(file, other) == "small"
    here, there = (shown(one, "leaderboard", "--format", how) for one in (root, other))
    assert there == here
    assert b"dhkd" in there
    if how in HOW:
        assert (other.sweep("small").folder / f"leaderboard.{HOW[how]}").read_bytes() == here


def test_all_that_one_wants_to_look_at_is_in_it(shared: tuple[Root, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(shared[1]) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read(MANIFEST))
        assert {name: entry["size"] for name, entry in manifest["members"].items()} == {
            info.filename: info.file_size for info in archive.infolist() if info.filename != MANIFEST
        }
        assert archive.read("spec.yaml").decode() == small_spec().text
    assert names[0] == MANIFEST
    assert {"ledger.db", "report.html", "figure.png", *(f"leaderboard.{suffix}" for suffix in FORMATS)} <= {*names}
    assert any(name.startswith("figures/") and name.endswith(".pdf") for name in names)
    assert (manifest["format"], manifest["name"]) == (1, "small")
    assert manifest["releases"]["torch"]


@pytest.mark.slow(8)
def test_a_pack_of_the_same_sweep_has_the_same_bytes(shared: tuple[Root, Path], tmp_path: Path) -> None:
    again = pack(shared[0].sweep("small"), tmp_path / "again.sweep.zip", quiet)
    assert again.read_bytes() == shared[1].read_bytes()
    other = Root(tmp_path / "runs")
    unpack(again, other)
    third = pack(other.sweep("small"), tmp_path / "third.sweep.zip", quiet)
    assert third.read_bytes() == shared[1].read_bytes()


def test_the_best_students_come_with_what_they_need(shared: tuple[Root, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(shared[1]) as archive:
        (name,) = [name for name in archive.namelist() if name.startswith("weights/")]
        _, texts = from_bytes(archive.read(name), name)
    said = {key: json.loads(text) for key, text in texts.items()}
    assert said["classes"][9] == "class 9"
    assert said["preprocessing"].keys() == {"size", "classes", "mean", "std"}
    assert (said["config"]["model"], said["accuracy"]["test_acc"]) == ("resnet8", 80.0)
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    student = sweep.open(str(shared[1])).student("resnet20 -> resnet8", "kd")
    before = sweep.open("small", root=shared[0].path).student("resnet20 -> resnet8", "kd")
    with torch.no_grad():
        assert torch.equal(student(images), before(images))


def test_what_is_missing_is_told_and_packed_without(shared: tuple[Root, Path]) -> None:
    assert len(HEARD) == 2
    assert all(line.startswith("not packed: resnet20→resnet8 · ") for line in HEARD)
    assert all("weights.pt cannot be read" in line for line in HEARD)


@pytest.mark.slow(4)
def test_a_sweep_that_runs_can_be_packed(root: Root, small_plan: Plan, tmp_path: Path) -> None:
    told(root, small_plan)
    with closing(Ledger(root.sweep("small").ledger)) as ledger, lock.exclusive(root.sweep("small").lock, "it"):
        ledger.append("interrupted", job_of(small_plan, slot_of(small_plan, "dhkd α=1", 1)).key)  # in SQLite's log
        file = pack(root.sweep("small"), tmp_path / "a.sweep.zip", quiet)
        last = ledger.last_seq()
    other = Root(tmp_path / "other")
    unpack(file, other)
    with closing(Ledger(other.sweep("small").ledger)) as ledger:
        ledger.verify()
        assert ledger.last_seq() == last


def test_a_trial_that_was_left_open_is_interrupted_elsewhere(shared: tuple[Root, Path], tmp_path: Path) -> None:
    other = Root(tmp_path / "runs")
    unpack(shared[1], other)
    with closing(Ledger(other.sweep("small").ledger)) as ledger:
        begun = ledger.latest("sweep")
        assert begun is not None
        assert begun.body["host"] == "here", "which is no host that this could ask"
    assert "1 interrupted" in shown(other, "status").decode()


def test_own_code_comes_along_and_is_not_run(root: Root, tmp_path: Path) -> None:
    code = Code((("losses.py", RAN), ("paper/__init__.py", RAN)))
    keep(code, root)
    plan = build_plan(small_spec())
    with closing(Ledger(root.sweep("small").ledger)) as ledger:
        ledger.append("sweep", body={"spec": "name: small\n", "host": "here", "pid": 1})
        ledger.append("plan", body=plan.to_json() | {"code": code.key})
    file = pack(root.sweep("small"), tmp_path / "a.sweep.zip", quiet)
    other = Root(tmp_path / "other")
    unpack(file, other)
    assert other.code(code.key).read_bytes() == root.code(code.key).read_bytes()
    assert (other.sweep("small").code / "paper" / "__init__.py").read_text() == RAN
    assert shown(other, "status")


def test_the_accuracy_of_a_stored_teacher_comes_along(root: Root, small_plan: Plan, tmp_path: Path) -> None:
    teacher = TeacherConfig(architecture="resnet20", hash="0123456789abcdef")
    passport = root.teachers / teacher.hash / "passport.json"
    passport.parent.mkdir(parents=True)
    passport.write_text(json.dumps({"test_acc": 97.25}))
    body = json.loads(json.dumps(small_plan.to_json()))
    body["slots"] = [slot for slot in body["slots"] if slot["stage"] != "teacher"]
    for slot in body["slots"]:
        if slot["teacher"] is not None:
            slot["config"]["teacher"], slot["teacher"] = teacher.model_dump(), None
    with closing(Ledger(root.sweep("small").ledger)) as ledger:
        ledger.append("sweep", body={"spec": "name: small\n", "host": "here", "pid": 1})
        ledger.append("plan", body=body)
    other = Root(tmp_path / "other")
    unpack(pack(root.sweep("small"), tmp_path / "a.sweep.zip", quiet), other)
    assert b"97.25" in shown(root, "leaderboard")
    assert shown(other, "leaderboard") == shown(root, "leaderboard")
    assert not other.teachers.exists(), "its weights are not there"


@pytest.mark.slow(4)
def test_the_commands(
    shared: tuple[Root, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.sweep.zip").write_text("an earlier one")
    typed = CliRunner().invoke(app, ["pack", "small", "--root", str(shared[0].path)], catch_exceptions=False)
    assert (tmp_path / "small.sweep.zip").read_bytes() == shared[1].read_bytes()
    assert "packed   small.sweep.zip (" in typed.output
    typed = CliRunner().invoke(app, ["unpack", "small.sweep.zip", "--root", "there"], catch_exceptions=False)
    assert "see      sweep leaderboard small --root there" in typed.output
    assert sorted(os.listdir(tmp_path)) == ["small.sweep.zip", "there"]  # noqa: PTH208
    with pytest.raises(SystemExit) as end:
        main(["unpack", "small.sweep.zip", "--root", "there"])
    assert end.value.code == 2
    assert "a sweep 'small' lies at there/sweeps/small already" in capsys.readouterr().err


def test_a_pack_goes_to_a_file(root: Root, small_plan: Plan, tmp_path: Path) -> None:
    told(root, small_plan)
    with pytest.raises(InputError, match="is no file; name one with --output"):
        pack(root.sweep("small"), tmp_path, quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_pack_is_opened_for_as_long_as_it_is_looked_at(
    shared: tuple[Root, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    results = sweep.open(str(shared[1]))
    assert results.table().equals(sweep.open("small", root=shared[0].path).table())
    assert len(list(tmp_path.iterdir())) == 1
    del results
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="No such file"):
        sweep.open("missing.sweep.zip")
    assert list(tmp_path.iterdir()) == []
