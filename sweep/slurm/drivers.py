"""Whether a GPU's driver is new enough for the CUDA that torch was built with."""

from __future__ import annotations

import re

LEAST = {11: 450, 12: 525, 13: 580}
"""The first driver, on Linux, of each main version of CUDA: within one, newer releases of CUDA run on older drivers
(NVIDIA's CUDA compatibility guide, "minor version compatibility")."""


def fits(cuda: str | None, driver: str | None) -> tuple[bool | None, str]:
    """Whether that is so, as far as it can be said, and why.

    Args:
        cuda: torch's, ``12.8``; None where it was built without.
        driver: ``550.54.15``; None where nobody says.
    """
    if cuda is None:
        return False, "trials ask for GPUs, and this torch was built without CUDA"
    least = LEAST.get(int(cuda.partition(".")[0]))
    if least is None:
        return None, f"torch is built with CUDA {cuda}; which driver that needs is not known here"
    if driver is None:
        return (
            None,
            f"torch is built with CUDA {cuda}, which needs a driver from {least} on; --driver says which there is",
        )
    main = re.match(r"\d+", driver)
    if main is None:
        return False, f"--driver {driver} is no version; nvidia-smi on a compute node prints it (550.54.15)"
    enough = int(main[0]) >= least
    return (
        enough,
        f"{driver}, and CUDA {cuda} of torch's needs {least} or newer{'' if enough else ': install another torch'}",
    )
