"""What a run and an attempt note of where they come from."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.ledger import provenance
from sweep.ledger.provenance import OURS, of_attempt, of_run, shown
from tests.support.examples import small_spec
from tests.trainers.test_repository import git
from trainers.code import Code


def committed(folder: Path, name: str) -> str:
    """A repository of one file; its commit."""
    folder.mkdir()
    (folder / name).write_text("name: small\n")
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", "https://somebody:secret@example.org/a.git")
    git(folder, "add", name)
    git(folder, "commit", "--quiet", "--message", name)
    return git(folder, "rev-parse", "HEAD")


def test_a_run_notes_the_repositories_of_its_spec_and_of_its_code(tmp_path: Path) -> None:
    of_spec, of_code = committed(tmp_path / "specs", "small.yaml"), committed(tmp_path / "losses", "mine.py")
    (tmp_path / "losses" / "mine.py").write_text("changed\n")
    code = Code((("mine.py", ""),), (("mine.py", str(tmp_path / "losses")),))
    spec = replace(small_spec(), source=str(tmp_path / "specs" / "small.yaml"), code=code)
    noted = of_run(spec)
    assert noted["repositories"]["spec"] == {"commit": of_spec, "dirty": False}
    assert noted["repositories"]["code"] == {"commit": of_code, "dirty": True}
    assert not [part for part in ("secret", str(tmp_path)) if part in json.dumps(noted)]
    assert list(noted["releases"]) == [OURS, "python", "torch", "ray", "optuna", "mlflow"]
    assert noted["machine"]["host"]


def test_code_beside_the_spec_is_told_once(tmp_path: Path) -> None:
    committed(tmp_path / "specs", "small.yaml")
    code = Code((("mine.py", ""),), (("mine.py", str(tmp_path / "specs")),))
    spec = replace(small_spec(), source=str(tmp_path / "specs" / "small.yaml"), code=code)
    assert of_run(spec)["repositories"].keys() - {OURS} == {"spec"}


def test_a_spec_without_a_file_has_no_repository_of_its_own() -> None:
    assert of_run(small_spec())["repositories"].keys() <= {OURS}


def test_packages_that_were_installed_into_the_users_repository_are_not_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(tmp_path / "theirs", "small.yaml")
    monkeypatch.setattr(provenance, "SOURCES", tmp_path / "theirs" / "environment")
    (tmp_path / "theirs" / "environment").mkdir()
    spec = replace(small_spec(), source=str(tmp_path / "theirs" / "small.yaml"))
    assert of_run(spec)["repositories"].keys() == {"spec"}


def test_a_checkout_of_ours_is_known_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = committed(tmp_path / "ours", "small.yaml")
    monkeypatch.setattr(provenance, "SOURCES", tmp_path / "ours")
    shipped = replace(small_spec(), source=str(tmp_path / "ours" / "small.yaml"))
    assert of_run(shipped)["repositories"] == {OURS: {"commit": commit, "dirty": False}}


def test_an_attempt_names_what_trains_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"host": "here", "cpu": "Xeon", "gpu": "H100", "driver": "550", "python": "3.11"}
    monkeypatch.setattr(provenance, "_here", lambda: here)
    assert of_attempt(on_gpu=False) == {"host": "here", "cpu": "Xeon", "python": "3.11"}
    assert of_attempt(on_gpu=True) == {"host": "here", "gpu": "H100", "driver": "550", "python": "3.11"}


def test_a_process_looks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    of_attempt(on_gpu=False)
    monkeypatch.setattr(subprocess, "run", None)
    assert of_attempt(on_gpu=False)["host"]


@pytest.mark.parametrize(
    ("dirty", "told"), [(False, "0123"), (True, "0123 with changes"), (None, "0123, changes unknown")]
)
def test_a_state_in_words(dirty: bool | None, told: str) -> None:
    assert shown({"commit": "0123456", "dirty": dirty}, 4) == told
