"""A command that is forked off a prepared process is like one that is typed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.command import TYPED, Done, User
from tests.support.division import wait_until

SEEN = """\
import json, multiprocessing, os, pathlib, signal, sys, threading
from trainers import method

pathlib.Path("seen.json").write_text(json.dumps({
    "words": [sys.argv, sys.orig_argv[1:], sys.flags.optimize],
    "found": [sys.path, sys.modules["__main__"].__spec__.name, sys.modules["__main__"].__file__],
    "own": [os.getcwd(), os.getpgrp() == os.getsid(0) == os.getpid(), sorted(os.environ.items())],
    "signals": [str(signal.getsignal(number)) for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE)],
    "threads": threading.active_count(),
    "children": [str(multiprocessing.active_children()), multiprocessing.get_start_method(allow_none=True)],
    "files": [os.readlink(f"/proc/self/fd/{number}").partition(":")[0] for number in (0, 1, 2)],
    "written": [sys.stdout.encoding, sys.stdout.line_buffering, sys.stdout.errors, sys.stderr.encoding],
}))

@method("seen")
def seen(student):
    return student.mean()
"""
"""A user's code, which a command reads with the spec that names it."""


@pytest.fixture
def user(tmp_path: Path) -> User:
    user = User(tmp_path / "a user's")
    (user.folder / "seen.py").write_text(SEEN)
    return user


@pytest.mark.slow(5)
def test_it_finds_what_a_typed_one_does(user: User) -> None:
    user.write((user.folder / "spec.yaml").read_text().replace("methods: [", "code: [seen.py]\nmethods: [seen, "))
    seen = []
    for program in ((), TYPED):
        user.program = program
        done = user.sweep("plan", "spec.yaml")
        assert done.code == 0, done.err
        assert "seen" in done.out
        seen.append(json.loads((user.folder / "seen.json").read_text()))
    assert seen[0] == seen[1]


def in_the_end(done: Done) -> Done:
    """Without what a command says on a busy machine after two seconds of silence."""
    kept = [line for line in done.err.splitlines() if not re.search(r" … \(\d+ s\)$", line)]
    return replace(done, err="\n".join(kept))


@pytest.mark.slow(5)
def test_it_says_what_a_typed_one_does(user: User) -> None:
    for words, code in ((["--help"], 0), (["list", "specs", "--format", "csv"], 0), (["plam"], 2)):
        user.program = ()
        prepared = user.sweep(*words)
        user.program = TYPED
        assert in_the_end(prepared) == in_the_end(user.sweep(*words))
        assert prepared.code == code


@pytest.mark.slow(5)
def test_it_hears_signals_and_tells_how_it_has_ended(user: User) -> None:
    user.write((user.folder / "spec.yaml").read_text() + "code: [wait.py]\n")
    (user.folder / "wait.py").write_text("import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(600)\n")
    process = user.start("plan", "spec.yaml")
    wait_until((user.folder / "begun").exists, [process])
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    assert os.getpgid(process.pid) == process.pid
    os.killpg(process.pid, signal.SIGKILL)
    assert user.end(process).code == -signal.SIGKILL


def test_what_another_python_is_needed_for_is_typed(user: User) -> None:
    process = user.start("--help", PYTHONIOENCODING="latin-1")
    assert type(process) is subprocess.Popen
    assert user.end(process).code == 0
