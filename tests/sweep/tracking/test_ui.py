"""How MLflow's own server is started; nothing starts here."""

from __future__ import annotations

import itertools
import os
import subprocess
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest

from sweep.layout import Root
from sweep.tracking.ui import serve
from tests.support.ports import free_port
from trainers.errors import InputError

PAGE = "http://127.0.0.1"


@dataclass
class Started:
    """A process that ends at once."""

    command: list[str]
    env: dict[str, str]

    def wait(self) -> int:
        return 0


def served(root: Root, uri: str, port: int, monkeypatch: pytest.MonkeyPatch) -> Started:
    """The one process that `sweep ui` starts."""
    started: list[Started] = []

    def start(command: list[str], env: Any) -> Started:
        started.append(Started(command, dict(env)))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    with mock.patch.dict(os.environ):
        assert serve(root, uri, port) == 0
    (process,) = started
    return process


def test_the_server_listens_on_this_machine_alone(
    root: Root, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    command = served(root, f"sqlite:///{root.path}/mlflow.db", port, monkeypatch).command
    options = dict(itertools.pairwise(command))
    assert options["--host"] == "127.0.0.1"
    assert options["--port"] == str(port)
    assert command.count("--host") == command.count("--port") == 1
    assert f"{PAGE}:{port}/?token=" in capsys.readouterr().out


def test_the_server_is_guarded_by_a_token_of_its_own_that_the_printed_link_has(
    root: Root, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = set()
    for _ in range(2):
        process = served(root, f"sqlite:///{root.path}/mlflow.db", free_port(), monkeypatch)
        assert process.command[1:4] == ["-m", "kd_sweep.server", "server"]
        token = process.env["SWEEP_UI_TOKEN"]
        assert len(token) == 32
        assert f"/?token={token} (Ctrl-C" in capsys.readouterr().out
        assert token not in " ".join(process.command), "which every user of the machine can read"
        tokens.add(token)
    assert len(tokens) == 2


def test_a_token_of_the_users_own_is_kept_and_a_poor_one_refused(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_UI_TOKEN", "a-token-of-my-own")
    process = served(root, f"sqlite:///{root.path}/mlflow.db", free_port(), monkeypatch)
    assert process.env["SWEEP_UI_TOKEN"] == "a-token-of-my-own"
    for poor in ("short", "0123456789abcdef;Path=/"):
        monkeypatch.setenv("SWEEP_UI_TOKEN", poor)
        with pytest.raises(InputError, match="SWEEP_UI_TOKEN must have 16 or more letters"):
            serve(root, f"sqlite:///{root.path}/mlflow.db", free_port())


def test_a_databases_password_is_on_no_command_line_and_not_printed(
    root: Root, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every user of the machine can read a command line."""
    uri = "postgresql://me:hidden@there/db"
    process = served(root, uri, free_port(), monkeypatch)
    assert "hidden" not in " ".join(process.command)
    assert process.env["MLFLOW_BACKEND_STORE_URI"] == uri
    told = capsys.readouterr()
    assert "hidden" not in told.out + told.err
