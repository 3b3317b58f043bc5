"""What a trial has of its own where several are trained in one process: torch's random numbers, and a GPU's stream.

Torch draws dropout from one generator of the process, which a trial seeds at the start of each epoch. Where trials take
turns step by step, each finds it as it left it, so that its draws are those it has alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from trainers.distillers import Batch, View
from trainers.distillers.labels import Partners
from trainers.models import Features


class Lane:
    """A trial's own part of the process.

    Args:
        place: where it is trained. On a GPU its kernels have a stream of their own, beside those of the others.
    """

    def __init__(self, place: torch.device) -> None:
        self._place = place
        self._on_gpu = place.type == "cuda" and torch.cuda.is_available()
        self._stream = torch.cuda.Stream(place) if self._on_gpu else None  # type: ignore[no-untyped-call]
        self._drawn = self._generators()

    @contextmanager
    def own(self, batch: Batch | None = None) -> Iterator[None]:
        """A context of the trial's own draws and stream, after all that was asked of the GPU so far.

        Args:
            batch: what others have made and the trial reads inside: it stays until the GPU has read it.
        """
        torch.set_rng_state(self._drawn[0])
        if self._on_gpu:
            torch.cuda.set_rng_state(self._drawn[1], self._place)
        try:
            with self._streaming(batch):
                yield
        finally:
            self._drawn = self._generators()

    def joined(self) -> None:
        """Let what is asked of the GPU from now on wait for all that the trial has asked."""
        if self._stream is not None:
            torch.cuda.current_stream(self._place).wait_stream(self._stream)

    def _generators(self) -> list[Tensor]:
        """The states of the CPU's generator and the GPU's."""
        of_gpu = [torch.cuda.get_rng_state(self._place)] if self._on_gpu else []
        return [torch.get_rng_state(), *of_gpu]

    @contextmanager
    def _streaming(self, batch: Batch | None) -> Iterator[None]:
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._place))
        if batch is not None:
            changed(batch, self._held)
        with torch.cuda.stream(self._stream):
            yield

    def _held(self, tensor: Tensor) -> Tensor:
        """A tensor, whose memory nobody gets before the stream has read it."""
        if self._stream is not None and tensor.is_cuda:
            tensor.record_stream(self._stream)
        return tensor


def changed(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The batch with each of its tensors changed."""
    images, targets, index = map(change, (batch.images, batch.targets, batch.index))
    strong = batch.strong and View(change(batch.strong.images), _changed(batch.strong.teacher, change))
    teacher = _changed(batch.teacher, change)
    partners = batch.partners and Partners(*map(change, batch.partners))
    return replace(
        batch, images=images, targets=targets, index=index, teacher=teacher, strong=strong, partners=partners
    )


def _changed(passed: Features | None, change: Callable[[Tensor], Tensor]) -> Features | None:
    if passed is None:
        return None
    stages, preactivations = (tuple(map(change, maps)) for maps in (passed.stages, passed.preactivations))
    return Features(change(passed.logits), change(passed.pooled), stages, preactivations, change(passed.unpooled))
