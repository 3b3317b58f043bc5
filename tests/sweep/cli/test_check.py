"""`sweep check`: what is tried, what is printed, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.cli.app import main
from sweep.cli.check import chosen
from tests.sweep.cli.test_verbs import refused
from tests.trainers.distillers.test_contract import ELSEWHERE
from trainers import contract
from trainers.code import unload
from trainers.contract import METHOD
from trainers.distillers import METHODS
from trainers.errors import InputError

LOSSES = """\
import torch
from trainers import method, model

@method("mykd")
def mykd(student, teacher, targets, *, beta: float = 2.0):
    return (student - teacher).square().mean() {more}
"""
MODEL = """
@model("mynet")
class MyNet(torch.nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = torch.nn.Linear(3, num_classes)
    def forward(self, images):
        return self.head(images.mean((2, 3)))
"""
SPEC = """\
name: mine
code: [my_losses.py]
dataset: digits
recipe: digits
pairs: [resnet14 -> mynet]
methods: [kd, {mykd: {beta: [0.5, 2.0]}}, {mykd: {beta: 3.0}}, {dhkd: {alpha: 0.3}}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with a file of a user's and a spec that names it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_losses.py").write_text(LOSSES.format(more="* beta") + MODEL)
    (tmp_path / "spec.yaml").write_text(SPEC)
    yield tmp_path
    unload()


def code_of(*arguments: str) -> int | str | None:
    """The exit code of the command."""
    with pytest.raises(SystemExit) as end:
        main(["check", *arguments])
    return end.value.code


def test_a_file_is_checked_for_all_that_it_registers(folder: Path) -> None:
    assert chosen(["my_losses.py"], False) == ({"mykd": {}}, ["mynet"])


def test_a_spec_is_checked_for_the_methods_that_it_names_at_their_first_point(folder: Path) -> None:
    methods, models = chosen(["spec.yaml"], False)
    assert list(methods) == ["kd", "mykd", "dhkd"]
    assert methods["mykd"]["beta"] == 0.5
    assert methods["dhkd"]["alpha"] == 0.3
    assert models == ["mynet"]


def test_methods_of_ours_are_checked_by_name_and_all_together(folder: Path) -> None:
    assert chosen(["kd", "dkd"], False) == ({"kd": {}, "dkd": {}}, [])
    chosen(["my_losses.py"], False)  # is loaded, and not ours
    assert list(chosen([], True)[0]) == [name for name in METHODS if name != "mykd"]


WRONG = {
    "nothing": ([], "name what to check"),
    "no such file": (["other.py"], "there is no file other.py"),
    "no such name": (["mykdd"], "unknown method 'mykdd'"),
    "no such spec": (["other.yaml"], "there is no file other.yaml"),
    "a spec and more": (["spec.yaml", "kd"], "check the spec spec.yaml alone"),
    "no registration": (["plain.py"], "registers nothing"),
    "no method": (["recipes.py"], "no method and no model is registered there"),
    "no Python": (["broken.py"], "broken.py:1: no Python"),
}


@pytest.mark.parametrize(("what", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_checked_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], what: list[str], message: str
) -> None:
    (folder / "plain.py").write_text("x = 1\n")
    (folder / "recipes.py").write_text("from trainers import recipe\nrecipe('mine', epochs=3)\n")
    (folder / "broken.py").write_text("def\n")
    assert message in refused(capsys, "check", *what)


@pytest.mark.slow(1)
def test_what_is_wrong_is_told_by_its_line_and_the_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "my_losses.py").write_text(LOSSES.format(more="* student.nonsense"))
    assert code_of("my_losses.py", "--format", "json") == 1
    rows = json.loads(capsys.readouterr().out)
    assert [row["must hold"] for row in rows] == [requirement.name for requirement in METHOD]
    assert [row["holds"] for row in rows] == [False] + [None] * (len(METHOD) - 1)
    assert "my_losses.py:6: AttributeError" in rows[0]["found"]
    assert code_of("my_losses.py") == 1
    out, err = capsys.readouterr()
    assert "✗" in out
    assert "1 of what must hold does not" in err


def test_a_loss_that_does_not_end_fails_within_its_limit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "my_losses.py").write_text(LOSSES.format(more="* __import__('time').sleep(10**6)"))
    assert code_of("my_losses.py", "--limit", "1", "--format", "json") == 1
    rows = json.loads(capsys.readouterr().out)
    assert [row["holds"] for row in rows] == [False] + [None] * (len(METHOD) - 1)
    assert "my_losses.py:6: OverdueError: did not end within 1 s" in rows[0]["found"]


@pytest.mark.slow(4)
def test_what_holds_ends_with_zero(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("my_losses.py") == 0
    out, err = capsys.readouterr()
    assert "✗" not in out
    assert out.count("✓") == len([line for line in out.splitlines() if line.startswith(("mykd", "mynet"))])
    assert "1 method, 1 model: all holds" in err


@pytest.mark.slow(30)
def test_all_of_ours_hold(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All else is put to each by tests/trainers/distillers/test_contract.py."""
    rest = tuple(requirement for requirement in METHOD if requirement.gate or requirement.name in ELSEWHERE)
    assert {requirement.name for requirement in rest} >= ELSEWHERE
    monkeypatch.setattr(contract, "METHOD", rest)
    assert code_of("--ours", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["what"], row["must hold"]) for row in rows] == [
        (name, requirement.name) for name in METHODS if not METHODS.module(name) for requirement in rest
    ]
    assert all(row["holds"] for row in rows)


def test_several_files_are_one_code(folder: Path) -> None:
    (folder / "sums.py").write_text("def half(x):\n    return x / 2\n")
    text = "import sums\n" + LOSSES.format(more="* sums.half(beta)")
    (folder / "my_losses.py").write_text(text)
    with pytest.raises(InputError, match=r"sums.*add sums\.py"):
        chosen(["my_losses.py"], False)
    assert chosen(["my_losses.py", "sums.py"], False) == ({"mykd": {}}, [])
