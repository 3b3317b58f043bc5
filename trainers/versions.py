"""What a trial was trained with: the releases of this project, of torch and of CUDA, which may change last digits."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version

OURS = "kd-sweep"
BESIDE_OURS = ("torch", "ray", "optuna", "mlflow")
UNKNOWN = "unknown"
"""Of a package that is not installed: of ours, where it is run from a checkout."""


def releases(packages: Iterable[str]) -> dict[str, str]:
    """The releases of packages by name, as they are installed; none of them is imported."""
    return {name: _release(name) for name in packages}


def at_work() -> dict[str, str]:
    """Ours, and those of what it stands on: Python, and the packages that train, schedule, search and track."""
    return releases([OURS]) | {"python": platform.python_version()} | releases(BESIDE_OURS)


def _release(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN


@cache
def made_with() -> dict[str, str]:
    """The releases by name, as this process has them; without CUDA where torch is built for none."""
    import torch

    cuda = {"cuda": torch.version.cuda} if torch.version.cuda else {}
    return releases([OURS]) | {"torch": str(torch.__version__)} | cuda
