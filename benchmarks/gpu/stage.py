"""What runs in a stage's process: ``python -m benchmarks.gpu.stage MODULE …`` calls that module's ``run(asked)``.

An error that the stage does not expect is a finding as well, and the process ends with exit code 1.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.gpu.asked import Asked
from benchmarks.gpu.findings import Findings

WHOLE = "the stage itself"
"""What an error is of that ends a stage."""


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    asked = Asked(options.name, Findings(options.out), options.device, options.quick)
    done = False
    with asked.trying(WHOLE):
        importlib.import_module(options.module).run(asked)
        done = True
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    main()
