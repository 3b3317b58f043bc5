"""A leading ``~`` where no shell has seen it: in options, variables and specs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search_spaces.loader import load_spec
from sweep.cli.options import complete_sweep
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from tests.support.command import User
from tests.support.examples import small_spec
from tests.trainers.data.examples import pixels, write_folder
from trainers.code import read
from trainers.data.pixels.cache import cache_folder
from trainers.errors import InputError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "at home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_roots_are_found_there_and_nothing_is_called_tilde(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger(Root(home / "runs").sweep("told").ledger).close()
    user = User(tmp_path / "user")
    for arguments, environment in (
        (("--root=~/runs",), {}),
        ((), {"SWEEP_ROOT": "~/runs"}),
    ):
        done = user.in_process("list", "sweeps", "--format", "json", *arguments, HOME=str(home), **environment)
        assert done.code == 0, done.err
        assert [row["sweep"] for row in json.loads(done.out)] == ["told"]
    assert not (user.folder / "~").exists()
    monkeypatch.setenv("SWEEP_ROOT", "~/runs")
    assert complete_sweep("to") == ["told"]
    wrong = user.in_process("list", "sweeps", "--root=~nobody-of-that-name/runs")
    assert (wrong.code, "there is no such home folder" in wrong.err) == (2, True)


def test_the_cache_and_specs_may_lie_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_CACHE", "~/cache")
    assert cache_folder() == home / "cache"
    (home / "mine.yaml").write_text(
        "name: a\ndataset: digits\npairs: [resnet14 -> resnet8]\nmethods: [kd]\nrecipe: digits"
    )
    assert load_spec("~/mine.yaml").name == "a"
    (home / "losses.py").write_text("ONE = 1\n")
    assert read(["~/losses.py"], Path("/elsewhere")).tops == ["losses.py"]
    with pytest.raises(InputError, match="there is no such home folder"):
        load_spec("~nobody-of-that-name/mine.yaml")


def test_a_data_set_there_is_found_by_workers_in_any_folder_and_remarked_on(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pixels(16, 8)
    write_folder(home / "set", {"a": images[:4], "b": images[4:8]}, {"a": images[8:12], "b": images[12:]}, "valid")
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    recipe = {"base": "digits", "epochs": 3, "samples_per_class": None, "val_fraction": 0.25}
    plan = build_plan(small_spec(dataset={"folder": {"path": "~/set", "image_size": 8}}, recipe=recipe))
    assert plan.source["path"] == str(home / "set")
    assert plan.notes[0] == f"the test set is {home}/set/valid/"
