"""Processes of a test's own, which begin at once: they are forked off a server that has imported what they need."""

from __future__ import annotations

from multiprocessing.context import BaseContext

from torch.multiprocessing import get_context

IMPORTED = ("torch.distributed", "pytest", "trainers.fit", "trainers.data.sources.digits")
"""Takes seconds, and is the same for every process."""


def forked() -> BaseContext:
    """Of processes as fresh as spawned ones: the server is told nothing but what to import.

    A fork of the test's own process would not do, for that has threads, and autograd's among them.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context
