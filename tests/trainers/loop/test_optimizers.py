"""The optimiser computes what torch's does, and imports no compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.errors import InputError
from trainers.loop.optimizers import SGD, AdamW, lamb

STEPS = 3
SGD_OPTIONS = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
ADAMW_OPTIONS = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.05}


def trained(
    kind: type[torch.optim.Optimizer], options: dict[str, Any], *, fused: bool
) -> tuple[list[torch.Tensor], dict[str, Any]]:
    return trained_by(kind, options | {"fused": fused})


def trained_by(kind: type[torch.optim.Optimizer], options: dict[str, Any]) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """The parameters after some steps, in the middle of which the optimiser is stored and read back, and its state."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    optimizer = kind(network.parameters(), **options)
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        network(torch.randn(5, 8)).square().sum().backward()
        optimizer.step()
        state = optimizer.state_dict()
        optimizer = kind(network.parameters(), **options)
        optimizer.load_state_dict(state)
    return [parameter.detach() for parameter in network.parameters()], optimizer.state_dict()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("own", "theirs", "options", "kept"),
    [
        (SGD, torch.optim.SGD, SGD_OPTIONS, ["momentum_buffer"]),
        (AdamW, torch.optim.AdamW, ADAMW_OPTIONS, ["exp_avg", "exp_avg_sq", "step"]),
    ],
    ids=["sgd", "adamw"],
)
def test_it_is_torch_s_bit_for_bit(
    own: type[torch.optim.Optimizer],
    theirs: type[torch.optim.Optimizer],
    options: dict[str, Any],
    kept: list[str],
    fused: bool,
) -> None:
    ours, own_state = trained(own, options, fused=fused)
    torchs, state = trained(theirs, options, fused=fused)
    assert all(torch.equal(one, other) for one, other in zip(ours, torchs, strict=True))
    assert own_state["param_groups"] == state["param_groups"]
    for one, other in zip(own_state["state"].values(), state["state"].values(), strict=True):
        assert sorted(one) == sorted(other) == kept
        assert all(torch.equal(one[name], other[name]) for name in kept)


def test_lamb_is_timm_s_bit_for_bit() -> None:
    theirs = pytest.importorskip("timm.optim").Lamb
    options = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.05}
    (ours, own_state), (timms, state) = (trained_by(kind, options) for kind in (lamb(), theirs))
    assert all(torch.equal(one, other) for one, other in zip(ours, timms, strict=True))
    assert own_state["param_groups"] == state["param_groups"]
    assert own_state["state"].keys() == state["state"].keys()


def test_without_timm_lamb_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"recipe\.optimizer lamb needs the package timm: pip install timm"):
        lamb()


def test_a_step_keeps_no_graph_and_leaves_gradients_on() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = SGD([parameter], lr=0.5)
    parameter.square().sum().backward()
    assert optimizer.step(lambda: 7.0) == 7.0
    assert parameter.tolist() == [0, 0]
    assert parameter.is_leaf
    assert torch.is_grad_enabled()


TRAINED = """
import sys
from pathlib import Path
from tests.trainers.examples import finish, small_trial
from trainers.data import DATASETS
from trainers.fit import fit

data, folder = DATASETS["digits"](image_size=8).load(), Path(sys.argv[1])
trial = small_trial(epochs=2, optimizer=sys.argv[2], clip_norm=1.0)
next(fit(trial, data=data, folder=folder))
results, _ = finish(fit(trial, data=data, folder=folder))
assert [result.replayed for result in results] == [True, False]
found = [name for name in ("torch._dynamo", "torch._inductor", "sympy", "triton") if name in sys.modules]
assert not found, found
"""
"""A trial that is broken off and goes on from its checkpoint."""


@pytest.mark.slow(4)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_imports_no_compiler(tmp_path: Path, optimizer: str) -> None:
    subprocess.run([sys.executable, "-c", TRAINED, str(tmp_path), optimizer], check=True)
