"""A worker on a machine with too little memory, as a process of its own.

    python -m tests.support.short_of_memory FOLDER      prints what it reports of two trials, a line of JSON each

The first has batches of a thousand large images and may take :data:`LEFT` bytes. The second is a small one, for which
the same worker has all the memory there is.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from search_spaces.loader import parse_spec
from sweep.engine.attempt import Attempt
from sweep.engine.job import Job, describe
from sweep.layout import Root
from sweep.plan.expand import build_plan

SPEC = """\
name: short
dataset: {digits: {image_size: 32}}
recipe: {base: digits, epochs: 1, warmup_epochs: 0, batch_size: BATCH, samples_per_class: COUNT, test_per_class: 2}
pairs: [resnet14 -> wrn_16_2]
methods: [scratch]
seeds: 1
"""
LEFT = 300_000_000
"""Bytes of address space beyond those that the process has when the first trial starts."""


def address_space() -> int:
    """Bytes that this process has mapped."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def job(root: Root, *, batch_size: str, samples_per_class: str) -> dict[str, Any]:
    """The spec's one trial."""
    plan = build_plan(parse_spec(SPEC.replace("BATCH", batch_size).replace("COUNT", samples_per_class), "spec.yaml"))
    return describe(Job(plan.slots[0], plan.slots[0].trial()), plan, root)


def main() -> None:
    root = Root(Path(sys.argv[1]))
    worker = Attempt(job(root, batch_size="1000", samples_per_class="null"))
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + LEFT, unlimited[1]))
    print(json.dumps(worker.step()))
    resource.setrlimit(resource.RLIMIT_AS, unlimited)
    worker.leave()
    print(json.dumps(Attempt(job(root, batch_size="8", samples_per_class="2")).step()))


if __name__ == "__main__":
    main()
