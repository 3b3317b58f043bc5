"""A sweep with code of its own as one file, and the same sweep elsewhere, where neither its spec nor its code lies."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import TYPED, User
from tests.support.forms import all_agree

SPEC = """\
name: shared
code: [mine.py]
dataset: {digits: {image_size: 8}}
recipe: {base: digits, epochs: 1, warmup_epochs: 0, samples_per_class: 20, test_per_class: 20}
pairs: [resnet14 -> resnet8]
methods: [scratch, kd, mine]
seeds: 2
table: {names: {mine: Mine (ours), kd: "KD [Hinton]"}, order: [mine], decimals: 1}
tracking: {models: none}
"""
MINE = """\
from pathlib import Path

import torch.nn.functional as F

from trainers import method

Path("was-imported").touch()


@method("mine")
def mine(student, teacher, *, beta: float = 1.0):
    return beta * F.mse_loss(student, teacher)
"""
STUDENT = """\
import sys, torch, sweep
images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
results = sweep.open("shared", root=sys.argv[1])
trials = results.trials()
for method in ("scratch", "kd", "mine"):
    mine = trials[(trials["method"] == method) & (trials["stage"] == "confirm")]
    seed = int(mine.loc[mine["val_acc"].idxmax(), "seed"])
    with torch.no_grad():
        print(method, results.student("resnet14 -> resnet8", method, seed=seed)(images).double().sum().item())
"""


@pytest.mark.slow(60)
def test_a_pack_of_a_real_sweep_is_the_same_sweep_elsewhere(tmp_path: Path, empty_store: Path) -> None:
    user = User(tmp_path / "here", SPEC).given(empty_store)
    (user.folder / "mine.py").write_text(MINE)
    done = user.sweep("run", "spec.yaml", "--local")
    assert done.code == 0, done.out + done.err
    user.program = TYPED
    done = user.sweep("pack")
    assert (done.code, "not packed" in done.err) == (0, False), done.err
    uri = f"sqlite:///{user.root.mlflow_database}"
    assert all_agree(user.root, "shared", uri, user.folder / "shared.sweep.zip").printed.name("mine") == "Mine (ours)"
    other = User(tmp_path / "elsewhere" / "deep", "")
    shutil.move(user.folder / "shared.sweep.zip", other.folder)
    before = {
        how: user.in_process("leaderboard", "shared", "--format", how).out for how in ("table", "csv", "json", "latex")
    }
    drawn = (user.root.sweep("shared").report.read_bytes(), user.root.sweep("shared").leaderboard.read_bytes())
    trained = logits(user)
    shutil.rmtree(user.folder)

    done = other.in_process("unpack", "shared.sweep.zip")
    assert done.code == 0, done.err
    for how, text in before.items():
        assert other.in_process("leaderboard", "--format", how).out == text
    assert not (other.folder / "was-imported").exists(), "the code was run"
    paths = other.root.sweep("shared")
    assert paths.leaderboard.read_bytes() == drawn[1]
    assert (paths.code / "mine.py").read_text() == MINE
    for verb in ("status", "report", "export", "sync"):
        done = other.in_process(verb, "shared")
        assert done.code == 0, f"{verb}: {done.out}{done.err}"
    assert logits(other) == trained


def logits(user: User) -> str:
    """What the best students say of some images."""
    command = [sys.executable, "-c", STUDENT, str(user.root.path)]
    done = subprocess.run(command, cwd=user.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
