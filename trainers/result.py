"""What an epoch of training comes to."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class EpochResult:
    """What one epoch came to. Accuracies in percent; equality compares the numbers that must repeat bit for bit."""

    epoch: int
    """Counted from 1."""
    loss: float
    """Weighted sum of the terms, mean over the training images."""
    terms: dict[str, float]
    """Unweighted loss terms by name, mean over the training images."""
    lr: float
    """Learning rate of the epoch's last step."""
    train_acc: float
    """Top-1 on the training views, as they were trained on."""
    train_acc5: float
    val_acc: float | None
    """None when the recipe holds nothing out."""
    val_acc5: float | None
    test_acc: float
    test_acc5: float
    seconds: float = field(compare=False)
    """Wall time of the epoch, evaluation included."""
    images_per_second: float = field(compare=False)
    """Training images per second, evaluation not counted."""
    teacher_images: int = field(default=0, compare=False)
    """Images that the teacher was run on; the others' logits came out of the bank."""
    diagnostics: dict[str, float] = field(default_factory=dict)
    """What the recipe's `diagnostics` came to, by the names of :data:`trainers.diagnostics.MEASURES`; with its `ema`
    the accuracies of the network that does not predict as well, such as `student_test_acc`."""
    system: dict[str, dict[str, float]] = field(default_factory=dict, compare=False)
    """`mean` and `peak` of what it took of the machine, by name; measured by who runs the training, if at all."""
    replayed: bool = field(default=False, compare=False)
    """True where the epoch was trained by an earlier call and is read from the checkpoint."""
