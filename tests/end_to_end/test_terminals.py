"""Every verb where the terminal, the pipe and the locale take ASCII alone, or Latin-1."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.support.command import User
from tests.support.forked import forked

pytestmark = pytest.mark.slow(30)

SPEC = """\
name: small
description: 'Größe → α'
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 2, warmup_epochs: 0, samples_per_class: 5, test_per_class: 10}
teachers: {recipe: {epochs: 1}}
pairs: [resnet8 -> resnet8]
methods: [scratch, kd, dhkd: {alpha: {choice: [0.5, 2]}}]
seeds: 2
search: {trials: 2}
"""
C = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
"""Under which Python reads and writes ASCII, also in files whose encoding nobody names."""
VERBS = (
    *("plan spec.yaml", "status", "studies", "leaderboard", "leaderboard --published", "compare small --mine dhkd"),
    *(
        "export",
        "report",
        "pack small",
        "unpack small.sweep.zip --root copy",
        "list methods",
        "list models",
        "list specs",
    ),
    *(
        "list datasets",
        "list recipes",
        "list sweeps",
        "sync",
        "teachers list",
        "new method mine",
        "--help",
        "run --help",
    ),
    *("leaderboard --format csv", "leaderboard --format json", "leaderboard --format latex", "run spec.yaml --local"),
)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_every_verb_prints_what_there_is_room_for(tmp_path: Path, empty_store: Path, encoding: str) -> None:
    user = User(tmp_path / "a b", SPEC).given(empty_store)
    user.encoding = encoding
    with forked(user, **(C if encoding == "ascii" else {"PYTHONIOENCODING": "latin-1"})) as typed:
        for verb in ("run spec.yaml --local", *VERBS):
            done = typed.sweep(*shlex.split(verb))
            assert "Traceback" not in done.err, f"{verb}: {done.err}"
            assert done.code == 0, f"{verb}: {done.err}{done.out}"
            if verb == "leaderboard":
                assert "resnet8->resnet8" in done.out
                assert f"mean {'+-' if encoding == 'ascii' else '±'} standard deviation" in " ".join(done.out.split())
        user.write("name: ö\ndataset: digits\npairs: [a → b]\nmethods: [α]\n")
        wrong = typed.sweep("plan", "spec.yaml")
    assert wrong.code == 2
    assert "unknown method 'alpha'" in wrong.err
