"""The whole `sweep run` of five alphas, against a shell loop over the authors' script.

    uv run python -m benchmarks.whole_sweep [--pair "resnet32x4 -> resnet8x4"] [--rounds 1] [--steps 40] [--quick]

Ours is one command: it starts Python, Ray and its workers, opens the data, stores and measures the teacher's
checkpoint, runs the trials on all cores from an empty bank, writes checkpoints, ledger, MLflow's database, table and
figure, and ends. Theirs is five commands, ``python -m benchmarks.authors_loop``, one after the other, which write
nothing. Data and teacher are made beforehand, and both sides test after every epoch. Set-up and end of `sweep run` take
as long whatever is trained, so the ratio grows with ``--steps``; a trial of the field has 190,000.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks import trials
from benchmarks.common import (
    Row,
    at_least,
    bf16_is_fast,
    load_beside,
    parser,
    print_machine,
    print_notes,
    print_rows,
    ratios,
    rounds,
    seconds,
    spread,
)
from benchmarks.trials import ALPHAS, BATCH, DEEP, SMALL, Pair
from trainers.data.pixels.cache import VARIABLE
from trainers.rehearsal import stand_in

THEIRS = "authors' script, five times"
NAME = "alphas"
GOALS = {"fp32": at_least(2.5), "bf16": at_least(7)}
TOP = Path(__file__).parent.parent
LINES = 20
"""Of a failed command's output that are shown."""


@dataclass(frozen=True)
class Course:
    """What both sides are given."""

    pair: Pair
    train: int
    test: int
    epochs: int
    align: bool
    threads: int | None
    """Of the authors' script."""
    data: Path
    teacher: Path
    scratch: Path

    def spec(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """Our side's input."""
        fields = {"epochs": self.epochs, "batch_size": BATCH, "lr": trials.LR, "schedule": "constant"}
        few = {"samples_per_class": self.train // trials.CLASSES, "test_per_class": self.test // trials.CLASSES}
        return {
            "name": NAME,
            "dataset": {"parquet": {"path": str(self.data)}},
            "protocol": "paper",
            "recipe": {"base": "cifar", **fields, **few, **recipe},
            "pairs": [f"{self.teacher} -> {self.pair.student}"],
            "methods": [{"dhkd": {"alpha": list(ALPHAS), "head": trials.HEAD, "align": self.align}}],
            "seeds": 1,
            "compute": {"cpus": 1},
        }

    def ours(self, recipe: dict[str, Any]) -> None:
        """One command below an empty root."""
        root, spec = self.scratch / "root", self.scratch / "alphas.yaml"
        shutil.rmtree(root, ignore_errors=True)
        spec.write_text(yaml.safe_dump(self.spec(recipe)), "utf-8")
        command("-m", "sweep.cli", "run", str(spec), "--root", str(root))

    def theirs(self) -> None:
        """Five commands."""
        sizes = ["--epochs", str(self.epochs), "--train", str(self.train), "--test", str(self.test)]
        files = ["--data", str(self.data), "--teacher", str(self.teacher)]
        sizes += ["--threads", str(self.threads)] if self.threads else []
        pair = ["--pair", f"{self.pair.teacher} -> {self.pair.student}", *(["--align"] if self.align else [])]
        for alpha in ALPHAS:
            command("-m", "benchmarks.authors_loop", *pair, "--alpha", str(alpha), *sizes, *files)


def command(*arguments: str) -> None:
    """Run Python in the checkout; raises RuntimeError with the end of its output where it fails."""
    ran = subprocess.run(
        [sys.executable, *arguments], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if ran.returncode != 0:
        end = "\n".join(ran.stdout.splitlines()[-LINES:])
        raise RuntimeError(f"{' '.join(arguments)} ended with exit code {ran.returncode}:\n{end}")


def main() -> None:
    """Print the table."""
    made = parser(__doc__, count=1)
    made.add_argument("--pair", type=Pair.parse, default=DEEP)
    made.add_argument("--steps", type=int, default=40, help="of 64 images, of each trial, in two epochs (40)")
    made.add_argument("--data", type=Path, help="folder of Parquet files of 32 × 32 images; default: random pixels")
    made.add_argument("--recipe", type=yaml.safe_load, default={}, help="our recipe fields: '{compile: true}'")
    made.add_argument("--align", action="store_true", help="with gradient alignment, on both sides")
    made.add_argument("--threads", type=int, help="of their script; default: as torch finds them")
    made.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], help="default: those that this machine has")
    options = made.parse_args()
    pair, steps, count = (SMALL, 4, 1) if options.quick else (options.pair, options.steps, options.rounds)
    precisions = options.precisions or (["fp32", "bf16"] if bf16_is_fast() else ["fp32"])
    print_machine()
    with tempfile.TemporaryDirectory() as scratch:
        course = prepared(pair, steps, options.data, Path(scratch), align=options.align, threads=options.threads)
        contestants = {THEIRS: lambda: seconds(course.theirs)}
        for precision in precisions:
            fields = options.recipe | {"precision": precision}
            contestants[precision] = lambda fields=fields: seconds(lambda: course.ours(fields))  # type: ignore[misc]
        load = load_beside()
        found = rounds(contestants, count, warm_up=0)
    figures = [
        Row(f"{precision}: times as fast", ratios(found[THEIRS], found[precision]), GOALS[precision])
        for precision in precisions
    ]
    size = f"five trials of {course.epochs} × {course.train // BATCH} steps"
    print_rows(f"{pair}, the whole command, {size}; before, {load}", figures)
    print_notes({who: f"{spread(values).median:.1f} s" for who, values in found.items()})


def prepared(pair: Pair, steps: int, folder: Path | None, scratch: Path, *, align: bool, threads: int | None) -> Course:
    """Write what both sides read: Parquet files and the teacher's checkpoint."""
    epochs = 2
    train = max(1, round(steps * BATCH / epochs / trials.CLASSES)) * trials.CLASSES
    test = max(1, train // (5 * trials.CLASSES)) * trials.CLASSES
    os.environ[VARIABLE] = str(scratch / "cache")  # the authors' script opens decoded images as well
    data = trials.image_data(folder, train, test, scratch)
    teacher = scratch / f"{pair.teacher}.pth"
    torch.save({"model": stand_in(pair.teacher, data).state_dict()}, teacher)
    pixels = folder.absolute() if folder else scratch / "pixels"
    return Course(pair, train, test, epochs, align, threads, pixels, teacher, scratch)


if __name__ == "__main__":
    main()
