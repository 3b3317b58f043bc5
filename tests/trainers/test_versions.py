"""What a trial notes of the releases that trained it."""

from __future__ import annotations

import numpy
import torch

from trainers.versions import OURS, UNKNOWN, made_with, releases


def test_the_releases_of_this_process_are_named() -> None:
    releases = made_with()
    assert releases["torch"] == torch.__version__
    assert releases[OURS][0].isdigit()
    assert releases.get("cuda") == torch.version.cuda


def test_a_package_that_is_not_installed_has_no_known_release() -> None:
    assert releases(["numpy", "no-such-package"]) == {"numpy": numpy.__version__, "no-such-package": UNKNOWN}
