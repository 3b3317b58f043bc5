"""Torch's settings, which hold for a whole process: what a user's code changes of them is set back.

No key knows of them. A default of float64 that one file sets would change the numbers of every method of the sweep, and
of every trial that the same worker trains later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

MIXED = "mixed"
"""The precision where torch tells none: its older and its newer words for one thing were both used."""


class Setting(NamedTuple):
    """One of them."""

    name: str
    """As messages call it."""
    read: Callable[[], Any]
    write: Callable[[Any], object]


@contextmanager
def settings_kept() -> Iterator[list[str]]:
    """Set torch's settings back at the end, however that comes; the list then says which had been changed, and how."""
    before = [setting.read() for setting in _settings()]
    changed: list[str] = []
    try:
        yield changed
    finally:
        for setting, value in zip(_settings(), before, strict=True):
            now = setting.read()
            if now != value:
                changed.append(f"{setting.name} ({value} → {now})")
                setting.write(value)


@cache
def _settings() -> tuple[Setting, ...]:
    """All that decide numbers, or how fast they come; of those that set others as well, these come later."""
    import torch

    backends: Any = torch.backends  # which names its parts for nobody who asks for types
    cudnn, mkldnn = backends.cudnn, backends.mkldnn
    return (
        Setting("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
        Setting("the default device", torch.get_default_device, _set_device),
        Setting("whether gradients are recorded", torch.is_grad_enabled, torch.set_grad_enabled),
        Setting("the number of threads", torch.get_num_threads, torch.set_num_threads),
        Setting("the deterministic mode", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
        Setting("the detection of anomalies", torch.is_anomaly_enabled, torch.set_anomaly_enabled),
        *(_of("cudnn", cudnn, name) for name in ("enabled", "benchmark", "deterministic", "fp32_precision")),
        *(_of("mkldnn", mkldnn, name) for name in ("enabled", "fp32_precision")),
        _of("mkldnn.conv", mkldnn.conv, "fp32_precision"),
        _of("torch.backends", backends, "fp32_precision"),
        _of("cudnn", cudnn, "allow_tf32"),
        Setting("the precision of float32 products", _told(torch.get_float32_matmul_precision), _set_precision),
    )


def _of(part: str, place: Any, name: str) -> Setting:
    """A setting that is an attribute of one of torch's backends."""

    def write(value: Any) -> None:
        if value != MIXED:
            setattr(place, name, value)

    return Setting(f"{part}.{name}", _told(lambda: getattr(place, name)), write)


def _told(read: Callable[[], Any]) -> Callable[[], Any]:
    """:data:`MIXED` where torch does not tell."""

    def told() -> Any:
        try:
            return read()
        except RuntimeError:
            return MIXED

    return told


def _set_device(device: Any) -> None:
    import torch

    torch.set_default_device(None if device == torch.device("cpu") else device)  # cpu would stand in every call's way


def _set_precision(precision: str) -> None:
    import torch

    if precision != MIXED:
        torch.set_float32_matmul_precision(precision)
