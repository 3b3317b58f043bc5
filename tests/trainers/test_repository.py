"""Which commit a folder is at, without trusting what lies in it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.read_only import NOBODY
from trainers import repository
from trainers.repository import State, state, top


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, env=os.environ | own, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit of one file, in a folder of it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "spec.yaml").write_text("name: a\n")
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", "https://somebody:secret@example.org/a.git")
    git(folder, "add", "spec.yaml")
    git(folder, "commit", "--quiet", "--message", "a")
    (folder / "below").mkdir()
    return folder


def test_a_clean_checkout_is_at_its_commit(checkout: Path) -> None:
    found = state(checkout / "below")
    assert found == State(git(checkout, "rev-parse", "HEAD"), dirty=False)
    assert found.to_json() == {"commit": found.commit, "dirty": False}
    assert top(checkout / "below") == checkout


def test_a_change_is_seen_and_a_file_that_git_does_not_follow_is_none(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("mine\n")
    clean = state(checkout)
    (checkout / "spec.yaml").write_text("name: another\n")
    changed = state(checkout)
    assert clean is not None
    assert changed is not None
    assert (clean.dirty, changed.dirty) == (False, True)


def test_no_repository_an_empty_one_and_no_folder_have_no_commit(tmp_path: Path) -> None:
    assert state(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert state(tmp_path) is None
    assert state(tmp_path / "missing") is None
    assert top(tmp_path / "missing") is None


def test_without_git_nothing_is_known(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert state(checkout) is None
    assert top(checkout) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only an administrator gives files away")
def test_another_users_repository_is_left_alone(checkout: Path) -> None:
    for path in (checkout, checkout / ".git"):
        os.chown(path, NOBODY, -1)
    assert state(checkout) is None


@pytest.mark.parametrize("setting", ["core.fsmonitor", "filter.own.clean", "filter.own.process"])
def test_no_program_of_the_repositorys_is_run(checkout: Path, setting: str) -> None:
    marker = checkout.parent / "was-run"
    program = checkout / "program"
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    hook = checkout / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_bytes(program.read_bytes())
    hook.chmod(0o755)
    (checkout / ".git" / "info").mkdir(exist_ok=True)
    (checkout / ".git" / "info" / "attributes").write_text("* filter=own\n")
    git(checkout, "config", setting, str(program))
    (checkout / "spec.yaml").write_text("name: b\n")
    found = state(checkout)
    assert not marker.exists()
    assert found is not None
    assert found.dirty is (None if setting.startswith("filter") else True)
    git(checkout, "status")
    assert marker.exists(), "git itself does run it"


def test_a_git_that_takes_too_long_is_not_waited_for(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = checkout / "git"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{checkout}:{os.environ['PATH']}")
    monkeypatch.setattr(repository, "SECONDS", 0.05)
    began = time.monotonic()
    assert state(checkout) is None
    assert time.monotonic() - began < 300


def test_the_environment_of_a_hook_leads_nowhere_else(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(checkout / "nowhere"))
    assert top(checkout) == checkout
