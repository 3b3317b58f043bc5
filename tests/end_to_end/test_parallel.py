"""One trial on several workers, through the command that a user types: real Ray Train, real gloo."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweep.engine import parallel
from sweep.engine.attempt import _state
from sweep.formats import Format
from sweep.layout import Root
from sweep.plan.expand import build_plan
from sweep.results.preview import preview
from tests.support.command import User, children, workers
from tests.support.examples import small_spec
from trainers.errors import InputError

pytestmark = pytest.mark.slow(1)

SPLIT = """\
name: small
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 8, warmup_epochs: 0, samples_per_class: 20, batch_size: 32}
pairs: [resnet14 -> resnet8]
methods: [scratch]
baseline: scratch
seeds: 1
compute: {workers: 2, retries: 2}
tracking: {models: none}
"""


@pytest.mark.slow(140)
def test_a_sweep_of_two_workers_a_trial_survives_the_death_of_one_and_of_their_leader(
    tmp_path: Path, empty_store: Path
) -> None:
    """What the leader's death leaves reserved the next attempt needs: this machine has the devices of one."""
    user = User(tmp_path / "two", SPLIT).given(empty_store)
    process = user.start("run", "spec.yaml")
    user.wait_for(lambda: len(user.events("epoch")) >= 2, process)
    os.kill(train_workers(process.pid)[-1], signal.SIGKILL)
    user.wait_for(lambda: len(user.events("start")) == 2 and len(user.events("epoch")) >= 4, process)
    (leader,) = workers(process.pid)
    os.kill(leader, signal.SIGKILL)
    done = user.end(process)
    assert done.code == 0, done.out + done.err
    failed = user.events("failed")
    assert [event.body["state"] for event in failed] == ["worker-died", "worker-died"]
    assert "of the trial's 2 died" in failed[0].body["reason"]
    assert [event.body["state"] for event in user.events("final")] == ["finished"]
    assert len(user.events("start")) == 3
    (trial,) = (user.root.sweep("small").folder / "trials").iterdir()
    assert sorted(path.name for path in trial.iterdir()) == [
        "log.txt",
        "weights.pt",
    ]  # a log of the attempt that failed


def train_workers(driver: int) -> list[int]:
    """Ray Train's workers below the driver."""
    titles = {child: Path(f"/proc/{child}/cmdline") for child in children(driver)}
    return [child for child, title in titles.items() if title.exists() and b"RayTrainWorker" in title.read_bytes()]


def test_the_plan_tells_what_each_worker_gets_of_a_batch(root: Root) -> None:
    spec = small_spec(recipe={"base": "digits", "batch_size": 33, "samples_per_class": 8}, compute={"workers": 4})
    text = preview(spec, root, Format.TABLE)
    assert "4 workers a trial, each with 1 CPU, 0 GPUs and 9 of the 33 images of a batch" in text
    assert "learning rate 0.05, as with one" in text


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"methods": ["crd"], "baseline": "crd"}, "'crd' keeps a memory"),
        ({"recipe": {"base": "digits", "compile": True}}, "a compiled student trains on one worker"),
    ],
    ids=["crd", "compiled"],
)
def test_what_several_workers_cannot_train_is_refused_before_anything_starts(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        build_plan(small_spec(**changes, compute={"workers": 2}))


@pytest.mark.parametrize(
    ("raised", "state"),
    [
        ("[pair.cc:544] Connection closed by peer [127.0.0.1]:4711", "worker-died"),
        ("Default process group has not been initialized, please make sure to call init_process_group.", "worker-died"),
        ("the loss is too small", "failed"),
    ],
)
def test_what_a_dead_worker_s_neighbour_raises_is_that_death(raised: str, state: str) -> None:
    line = SimpleNamespace(told=SimpleNamespace(get=lambda timeout: ValueError(raised)))
    run = SimpleNamespace(is_alive=lambda: True, join=lambda: None, error=None, workers=2)
    with pytest.raises(Exception) as told:
        parallel._heard(line, run)  # type: ignore[arg-type]
    assert _state(told.value) == state
