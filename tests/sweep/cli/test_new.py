"""`sweep new`: the files that it writes, which run as they are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from search_spaces.loader import load_spec
from sweep.cli.app import main
from sweep.cli.check import chosen
from sweep.cli.new import TEMPLATES, texts
from tests.support.command import TYPED, User
from tests.sweep.cli.test_verbs import refused
from trainers.code import load, read, unload


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    unload()


def made(*arguments: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["new", *arguments])
    assert end.value.code == 0


def test_it_writes_three_files_and_prints_the_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made("method", "mykd")
    assert sorted(path.name for path in folder.iterdir()) == ["mykd.py", "mykd.yaml", "test_mykd.py"]
    out = capsys.readouterr().out
    assert [line.strip() for line in out.splitlines()[-3:]] == [
        "sweep check mykd.py",
        "sweep run mykd.yaml",
        "pytest test_mykd.py",
    ]
    assert not any("$" in path.read_text() for path in folder.iterdir())


def test_another_folder_is_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made("method", "my_loss2", "--folder", "paper/code")
    assert (folder / "paper/code/my_loss2.py").exists()
    assert "cd paper/code" in capsys.readouterr().out


def test_the_spec_and_the_method_are_right(folder: Path) -> None:
    made("method", "mykd")
    spec = load_spec("mykd.yaml")
    assert [method.name for method in spec.methods] == ["kd", "mykd"]
    assert len(spec.methods[1].variants) == 2
    assert chosen(["mykd.py"], False) == ({"mykd": {}}, [])


WRONG = {
    "no identifier": ("my-kd", "'my-kd' is no name for a function"),
    "a digit first": ("2kd", "'2kd' is no name"),
    "a path": ("../mykd", "'../mykd' is no name"),
    "a word of Python's": ("lambda", "'lambda' is no name"),
    "a name of ours": ("dkd", "there is a method 'dkd' already"),
    "a module of Python's": ("random", "would hide the module 'random'"),
    "an installed module": ("numpy", "would hide the module 'numpy'"),
    "our package": ("trainers", "would hide the module 'trainers'"),
    "an argument": ("student", "'student' means something else in the files"),
    "an import": ("F", "'F' means something else"),
    "too long": ("k" * 60, "is longer than 50 characters"),
}


@pytest.mark.parametrize(("name", "message"), WRONG.values(), ids=WRONG)
def test_a_name_that_cannot_be_used_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    assert message in refused(capsys, "new", "method", name)
    assert list(folder.iterdir()) == []


def test_nothing_is_written_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "test_mykd.py").write_text("mine")
    assert "test_mykd.py is there already" in refused(capsys, "new", "method", "mykd")
    assert [path.name for path in folder.iterdir()] == ["test_mykd.py"]
    assert (folder / "test_mykd.py").read_text() == "mine"


def test_another_kind_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown kind 'methods'; did you mean 'method'?" in refused(capsys, "new", "methods", "mykd")


def test_a_folder_that_cannot_be_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "file").write_text("")
    assert "cannot write" in refused(capsys, "new", "method", "mykd", "--folder", "file/in")


def test_every_template_is_used_and_lies_in_the_package(folder: Path) -> None:
    assert len(texts("method", "mykd", folder)) == len(list(TEMPLATES.iterdir())) == 3


def test_its_test_trains_on_one_thread(folder: Path) -> None:
    """Networks that small are trained five times as fast by one as by two that wait for each other."""
    made("method", "mykd")
    load(read(["mykd.py"], folder))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        exec(compile((folder / "test_mykd.py").read_text(), "test_mykd.py", "exec"), {"__name__": "test_mykd"})
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow(120)
def test_the_three_commands_run(tmp_path: Path) -> None:
    user = User(tmp_path)
    user.program = TYPED
    assert user.sweep("new", "method", "mykd").code == 0
    checked = user.sweep("check", "mykd.py")
    assert checked.code == 0, checked.out + checked.err
    ran = user.sweep("run", "mykd.yaml")
    assert ran.code == 0, ran.err
    rows = user.leaderboard("mykd")
    assert len(rows) == 3
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mykd.py"]
    tested = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout
