"""What a search may choose by, in words; :data:`sweep.search.suggest.DIRECTIONS` says which way each is better."""

from __future__ import annotations

from typing import NamedTuple


class Metric(NamedTuple):
    """How a metric is written."""

    words: str
    """In a sentence."""
    axis: str
    """On an axis, with its unit."""


METRICS = {
    "val_acc": Metric("validation accuracy after the last epoch", "validation accuracy, %"),
    "test_acc": Metric("best test accuracy, as protocol 'paper' allows", "best test accuracy, %"),
    "student_macs": Metric("the student's multiply-accumulates", "student's MACs"),
    "student_latency": Metric("the student's milliseconds for one image", "student's latency, ms"),
    "device_seconds": Metric("the seconds of training", "seconds of training"),
}
"""By the name that a spec gives it."""
