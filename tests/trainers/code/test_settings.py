"""Torch's settings, which a user's code may change and a process must keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainers.code import settings_kept
from trainers.code.settings import _settings

CHANGES: dict[str, Callable[[], Any]] = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "gradients": lambda: torch.set_grad_enabled(False),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "deterministic": lambda: torch.set_deterministic_debug_mode("warn"),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "cudnn.enabled": lambda: setattr(torch.backends.cudnn, "enabled", False),
    "cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "cudnn.deterministic": lambda: setattr(torch.backends.cudnn, "deterministic", True),
    "cudnn.allow_tf32": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    "mkldnn.enabled": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "mkldnn.fp32_precision": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "mkldnn.conv": lambda: setattr(torch.backends.mkldnn.conv, "fp32_precision", "bf16"),
    "float32 products": lambda: torch.set_float32_matmul_precision("medium"),
    "precision of float32": lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
}


def values() -> dict[str, Any]:
    """All of them, where torch's two words for no precision at all are one."""
    return {setting.name: {"ieee": "none"}.get(str(setting.read()), setting.read()) for setting in _settings()}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("named", CHANGES)
def test_what_was_changed_is_set_back_and_named(named: str) -> None:
    before = values()
    with settings_kept() as changed:
        CHANGES[named]()
        assert values() != before
    assert values() == before
    assert any(named in one for one in changed), changed


def test_what_was_not_changed_is_left_alone() -> None:
    with torch.no_grad():
        with settings_kept() as changed:
            torch.zeros(2) @ torch.zeros(2)
        assert not torch.is_grad_enabled()
    assert changed == []


def test_they_are_set_back_after_an_error_too() -> None:
    with pytest.raises(ValueError, match="no"), settings_kept():
        torch.set_default_dtype(torch.float64)
        raise ValueError("no")
    assert torch.get_default_dtype() == torch.float32


def test_the_precision_can_be_asked_for_as_before() -> None:
    """Torch tells none where its older and its newer words for it are mixed."""
    with settings_kept():
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        torch.backends.cudnn.conv.fp32_precision = "ieee"
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cudnn.allow_tf32
