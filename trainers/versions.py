"""What a trial was trained with: the releases of this project, of torch and of CUDA, which may change last digits."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

OURS = "kd-sweep"


@cache
def made_with() -> dict[str, str]:
    """The releases by name, as this process has them; without CUDA where torch is built for none."""
    import torch

    try:
        ours = version(OURS)
    except PackageNotFoundError:  # run from a checkout that is not installed
        ours = "unknown"
    cuda = {"cuda": torch.version.cuda} if torch.version.cuda else {}
    return {OURS: ours, "torch": str(torch.__version__)} | cuda
