"""What a method must hold: all requirements, in the order in which they are tried."""

from __future__ import annotations

from trainers.contract import cost, device, gradients, hyperparameters, inputs, loss, training
from trainers.contract.case import Case
from trainers.contract.requirement import Requirement

METHOD: tuple[Requirement[Case], ...] = (
    Requirement("can be planned", loss.planned, gate=True),
    Requirement("finite scalar terms", loss.finite_scalars, gate=True),
    Requirement("a weight for every term", loss.weighed, gate=True),
    Requirement("time and memory", cost.beside_kd, gate=True),
    Requirement("the student's logits and cross-entropy", loss.the_students),
    Requirement("finite at logits of ±1e4", loss.extreme),
    Requirement("bf16", loss.in_bf16),
    Requirement("no gradient to the teacher", gradients.none_to_the_teacher),
    Requirement("a gradient to all that learns", gradients.to_all_that_learns),
    Requirement("the loss's own gradient", gradients.its_own),
    Requirement("inputs left as they are", inputs.left_alone),
    Requirement("any order of the batch", inputs.in_any_order),
    Requirement("repeats in evaluation mode", inputs.repeated),
    Requirement("the teacher is no part of it", inputs.teacher_apart),
    Requirement("the student as it was built", inputs.student_as_built),
    Requirement("a student of every family", training.every_family),
    Requirement("resumes bit for bit", training.resumes),
    Requirement("hyperparameters that count", hyperparameters.count),
    Requirement("one device, and no waiting for it", device.stays),
)
"""What a method must hold."""
