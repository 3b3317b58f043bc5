"""A sweep in a folder that holds modules of the user's with our packages' names, as a user starts it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.command import User
from tests.support.own_modules import write_own_modules

SPLIT = """\
name: small
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 2, warmup_epochs: 0, samples_per_class: 5, test_per_class: 10, batch_size: 10}
teachers: {recipe: {epochs: 1}}
pairs: [resnet8 -> resnet8]
methods: [kd]
seeds: 1
compute: {workers: 2}
tracking: {models: none}
"""


@pytest.mark.slow(60)
def test_a_sweep_runs_none_of_a_users_modules_that_have_our_names(tmp_path: Path, empty_store: Path) -> None:
    """Neither in the driver, nor in a trial's worker, nor in the two that share it."""
    user = User(tmp_path / "own", SPLIT).given(empty_store)
    user.program = (str(Path(sys.executable).parent / "sweep"),)
    ran = write_own_modules(user.folder)
    done = user.sweep("run", "spec.yaml")
    assert not ran.exists(), f"{ran.read_text()}\n{done.out}{done.err}"
    assert done.code == 0, done.out + done.err
    assert [event.body["state"] for event in user.events("final")] == ["finished"] * 2
