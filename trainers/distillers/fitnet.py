"""FitNets: Hints for Thin Deep Nets (Romero et al., arXiv 1412.6550, ICLR 2015).

::

    L = ce_weight * CE(z_s, y) + feature_weight * hint

    hint = mean over all entries of (ReLU(BN(conv(f_s))) - f_t)²

f: the map after stage `hint_stage` of student and teacher (0 is the stem), after its ReLU where it has one. The
convolution brings the student's map to the teacher's channels and size: 3 × 3 at stride 2 where the student's is twice
as large, 4 × 4 transposed at stride 2 where it is half as large, otherwise without padding and with the kernel that
makes up the difference (1 × 1 for equal sizes). It trains along and is dropped afterwards.

As in CRD's and mdistiller's releases, hint and cross-entropy are trained together; the paper trains on the hint alone
first, then with KD. `relu: false` leaves the ReLU out, so that the regressor reaches the negative values of teachers
whose stages end without one (wide ResNets, MobileNetV2); the releases always have it in training.

Shapes: `B` batch, `K` channels, `h`, `w` pixels of a map.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.distillers.base import Batch, MethodParams, Setting, shapes
from trainers.distillers.feature_maps import MapDistiller
from trainers.errors import InputError
from trainers.models import Features, Network


def fitnet_loss(regressed: Tensor, teacher_map: Tensor) -> Tensor:
    """Mean squared difference of two maps ``[B, K, h, w]``, the student's behind its :class:`Regressor`."""
    return F.mse_loss(regressed, teacher_map.detach())


class Regressor(nn.Module):
    """From the student's map to the shape of the teacher's."""

    def __init__(self, student: Tensor, teacher: Tensor, *, relu: bool = True) -> None:
        """Sized by a map of each, ``[B, K, h, w]``.

        Raises:
            InputError: where the student's map is smaller than the teacher's, but not half as large.
        """
        super().__init__()
        self.relu = relu
        self.conv = _resizing(student, teacher)
        self.bn = nn.BatchNorm2d(teacher.shape[1])

    def forward(self, maps: Tensor) -> Tensor:
        """``[B, K, h, w]`` of the student to the teacher's channels and size."""
        out: Tensor = self.bn(self.conv(maps))
        return F.relu(out) if self.relu else out


def _resizing(student: Tensor, teacher: Tensor) -> nn.Conv2d | nn.ConvTranspose2d:
    channels = (student.shape[1], teacher.shape[1])
    (height, width), (taught_height, taught_width) = student.shape[2:], teacher.shape[2:]
    if (height, width) == (2 * taught_height, 2 * taught_width):
        return nn.Conv2d(*channels, kernel_size=3, stride=2, padding=1)
    if (2 * height, 2 * width) == (taught_height, taught_width):
        return nn.ConvTranspose2d(*channels, kernel_size=4, stride=2, padding=1)
    if height >= taught_height and width >= taught_width:
        return nn.Conv2d(*channels, kernel_size=(1 + height - taught_height, 1 + width - taught_width))
    raise InputError(
        f"method 'fitnet': at hint_stage the student's map has {height} × {width} pixels and the teacher's"
        f" {taught_height} × {taught_width}; the student's must be half as large, equal, or larger"
    )


class FitNetParams(MethodParams):
    """Hyperparameters of FitNet."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    feature_weight: float = Field(100.0, ge=0)
    """Weight of `hint`."""
    hint_stage: int = Field(2, ge=0)
    """The stage that is compared, of both networks; 0 is the stem."""
    relu: bool = True
    """Whether the regressor ends with a ReLU."""


class FitNet(MapDistiller):
    """The student's middle map, through a convolution, is the teacher's."""

    Params: ClassVar[type[MethodParams]] = FitNetParams
    summary: ClassVar[str] = "hint: one map of the teacher, regressed from the student's (arXiv 1412.6550)"
    least_stages: ClassVar[int] = 1
    params: FitNetParams

    def __init__(self, params: FitNetParams, student: Network, setting: Setting) -> None:
        super().__init__(params, student, setting)
        networks = (student, setting.need_teacher())
        own, taught = (shapes(network, setting.image_size).stages for network in networks)
        if params.hint_stage >= min(len(own), len(taught)):
            raise InputError(
                f"method 'fitnet': hint_stage {params.hint_stage} is not a stage of both networks: the student's are"
                f" 0 to {len(own) - 1}, the teacher's 0 to {len(taught) - 1}"
            )
        self.regressor = Regressor(own[params.hint_stage], taught[params.hint_stage], relu=params.relu)

    def terms(self, student: Features, teacher: Features, batch: Batch) -> dict[str, Tensor]:
        """`hint`: :func:`fitnet_loss`, a scalar, of the student's regressed map after stage `hint_stage` and the
        teacher's, ``[B, K, h, w]``."""
        stage = self.params.hint_stage
        return {"hint": fitnet_loss(self.regressor(student.stages[stage]), teacher.stages[stage])}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `feature_weight` for `hint`, in every epoch."""
        return {"ce": self.params.ce_weight, "hint": self.params.feature_weight}
