"""The GPU script's stages: what they import, and all of them from start to end on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from benchmarks.common import at_least
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.card import union
from benchmarks.gpu.contest import Contestant, Turns, race
from benchmarks.gpu.findings import Finding, Findings, read
from benchmarks.gpu.material import pixels
from benchmarks.gpu.show import latest
from benchmarks.gpu.stages import every, sharing
from benchmarks.gpu.stages.views import as_pixels
from benchmarks.trials import DEEP
from tests.support import forked_stages
from trainers.config import Recipe
from trainers.result import EpochResult
from trainers.views.views import Views

ROOT = Path(__file__).parents[2]
ABSENT = "ray mlflow optuna matplotlib sklearn scipy pandas typer rich sqlalchemy fastapi kubernetes pynvml psutil timm"
"""What is not there where a card is lent, or might not be."""
BLOCKING = f"""
from importlib.machinery import PathFinder
usual = PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in {ABSENT.split()!r} else usual(name, path, target)
PathFinder.find_spec = find_spec
"""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment in whose processes much is not installed."""
    (tmp_path / "site" / "sitecustomize.py").parent.mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCKING)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}


@pytest.mark.slow(3)
def test_the_stages_import_only_what_a_lent_card_has(bare: Mapping[str, str], tmp_path: Path) -> None:
    modules = [stage.module for stage in every().values()] + ["benchmarks.gpu.beside", "benchmarks.gpu.__main__"]
    code = f"import importlib, {', '.join(modules)}\ntry: import ray\nexcept ImportError: print('absent')"
    ran = subprocess.run([sys.executable, "-c", code], env=bare, cwd=tmp_path, capture_output=True, text=True)
    assert (ran.stdout, ran.returncode) == ("absent\n", 0), ran.stderr


def test_the_script_itself_imports_no_torch(bare: Mapping[str, str], tmp_path: Path) -> None:
    code = "import benchmarks.gpu.__main__, benchmarks.gpu.stage, sys; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], env=bare, cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout == "False\n", ran.stderr


def test_a_card_is_busy_while_anything_runs_on_it() -> None:
    assert union([(0, 2), (1, 3), (1.5, 2.5), (5, 6), (6, 7)]) == 5
    assert union([]) == 0


def test_views_are_taken_back_to_the_pixels_that_they_are_made_of() -> None:
    data = pixels(20, side=16, classes=10)
    views = Views(Recipe(views="none"), data, torch.device("cpu"))
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    off = views.plain(images) + 1e-6  # another order of rounding
    assert as_pixels(off, data).equal(images.to(torch.int16))


def epoch(number: int, seconds: float, teacher_images: int = 0) -> EpochResult:
    accuracies = dict.fromkeys(("train_acc", "train_acc5", "test_acc", "test_acc5"), 0.0)
    return EpochResult(
        epoch=number,
        loss=1.0,
        terms={},
        lr=0.1,
        val_acc=None,
        val_acc5=None,
        seconds=seconds,
        images_per_second=100 / seconds,
        teacher_images=teacher_images,
        **accuracies,
    )


def test_a_trial_whose_bank_is_cold_is_not_raced() -> None:
    turns = Turns(iter([epoch(1, 9.0), epoch(2, 2.0), epoch(3, 4.0), epoch(4, 1.0, teacher_images=7)]), warm=True)
    assert [turns() for _ in range(3)] == [100 / 9, 50, 25]
    assert turns.epoch_seconds == 3
    with pytest.raises(RuntimeError, match="the teacher ran on 7 images"):
        turns()


def test_a_trial_that_fails_is_out_of_the_race_and_the_others_go_on(tmp_path: Path) -> None:
    def failing() -> Iterator[EpochResult]:
        yield epoch(1, 2.0)
        raise ValueError("no such kernel")

    asked = Asked("speed", Findings(tmp_path / "found.jsonl"), "cuda", False)
    contestants = {name: Contestant("kd", {}, {}, at_least(10)) for name in ("bad", "good")}
    ours = {
        "bad": Turns(failing(), warm=True),
        "good": Turns(iter([epoch(n, n) for n in (1, 2, 4)]), warm=True),
    }
    race(asked, DEEP, contestants, lambda: 5.0, ours)
    assert list(ours) == ["good"]
    *_, good = latest(read(asked.findings.path))
    assert good["what"] == f"{DEEP}: good" and good["rounds"] == 3
    assert good["value"] == 10 and good["met"] and good["quartiles"] == [7.5, 15]
    (error,) = [finding for finding in read(asked.findings.path) if "error" in finding]
    assert (error["what"], error["error"]) == (f"{DEEP}: bad", "ValueError: no such kernel")


def test_processes_share_a_card_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "print(8, flush=True)\nimport sys\nfor _ in sys.stdin: print(8, flush=True)"
    asked = Asked("sharing", Findings(tmp_path / "found.jsonl"), "cpu", True)
    real = subprocess.Popen

    def started(command: list[str], **how: object) -> subprocess.Popen[str]:
        return real([sys.executable, "-c", script], **how)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(sharing.subprocess, "Popen", started)
    sharing._together(asked, "without MPS", tmp_path, {}, theirs=1.0)
    one, two = read(asked.findings.path)
    assert (one["what"], two["what"]) == ("1 side by side, without MPS", "2 side by side, without MPS")
    assert one["images_per_second"][0] > 0 and two["times_one"] > 0


@pytest.mark.slow(300)
def test_every_stage_runs_on_a_cpu_from_start_to_end(bare: Mapping[str, str], tmp_path: Path) -> None:
    out = tmp_path / "found.jsonl"
    command = [sys.executable, "-m", forked_stages.__name__, "--quick", "--device", "cpu", "--out", str(out)]
    ran = subprocess.run(command, env=bare | forked_stages.ONE_THREAD, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + out.with_suffix(".log").read_text()[-5000:]
    found = read(out)
    assert not [finding for finding in found if "error" in finding]
    by_stage: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in found:
        by_stage[finding["stage"]].append(finding)
    assert list(by_stage) == ["a run", *every()]
    for stage in every():
        assert by_stage[stage][-1]["ended"] == "finished"
        assert len(by_stage[stage]) > 1, f"{stage} found nothing"
    for stage in ("views", "folding", "methods", "deterministic"):  # a CPU is like a CPU
        assert all(finding["met"] for finding in by_stage[stage][:-1])
    assert figures(by_stage["methods"]) >= {"kd: loss beside the CPU's", "sld: loss beside the CPU's"}
    assert figures(by_stage["deterministic"]) >= {"kd: repeats", "kd: repeats, after a trial that is not deterministic"}
    assert figures(by_stage["compiled"]) >= {"1. dhkd: loss beside the eager one's", "2. dhkd: CUDA graphs not taken"}
    assert figures(by_stage["speed"]) >= {
        "resnet14 → resnet8: authors' loop",
        "resnet14 → resnet8: bf16, compiled",
        "a compiled step over the bare compiled student's",
    }
    assert figures(by_stage["options"]) >= {"resnet14 → resnet8: fp32, deterministic"}
    assert figures(by_stage["sld"]) >= {"resnet14 → resnet8: sld, bf16"}
    assert figures(by_stage["sharing"]) >= {"1 side by side, without MPS", "2 side by side, without MPS"}
    assert figures(by_stage["pairs"]) == {"resnet14 → resnet8: authors' loop", "resnet14 → resnet8: bf16"}
    assert all(finding["images_per_second"] > 0 for finding in by_stage["parts"][:-1])
    assert all(finding["value"] > 0 for finding in by_stage["speed"] if "value" in finding)
    assert "its figures mean nothing" in ran.stdout and "| speed | finished |" in ran.stdout


def figures(found: list[Finding]) -> set[str]:
    """What has a value."""
    return {finding["what"] for finding in found if "value" in finding}
