"""What a trial notes of the releases that trained it."""

from __future__ import annotations

import torch

from trainers.versions import OURS, made_with


def test_the_releases_of_this_process_are_named() -> None:
    releases = made_with()
    assert releases["torch"] == torch.__version__
    assert releases[OURS][0].isdigit()
    assert releases.get("cuda") == torch.version.cuda
