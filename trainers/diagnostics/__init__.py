"""What a trained accuracy does not tell: neural collapse, conflict of gradients, fidelity to the teacher.

Each measure is a pure function of tensors in a module of its own; :func:`diagnose` takes them all, on a fixed
:class:`Sample`, of any method.
"""

from __future__ import annotations

from trainers.diagnostics.conflict import gradient_conflict, gradient_cosine
from trainers.diagnostics.diagnose import MEASURES, SAMPLE_PER_CLASS, Sample, diagnose, logits_of
from trainers.diagnostics.fidelity import class_correlation, correlation_difference, fidelity
from trainers.diagnostics.neural_collapse import neural_collapse

__all__ = [
    "MEASURES",
    "SAMPLE_PER_CLASS",
    "Sample",
    "class_correlation",
    "correlation_difference",
    "diagnose",
    "fidelity",
    "gradient_conflict",
    "gradient_cosine",
    "logits_of",
    "neural_collapse",
]
