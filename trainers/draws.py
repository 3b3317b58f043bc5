"""Random draws by address: a number depends on (seed, epoch, sample, purpose) and on nothing else.

No generator is advanced, so a draw is the same whatever was drawn before it, in whatever order trials, batches or
devices run. The mixing function is the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014), on int64 tensors,
whose products wrap modulo 2**64 on every device.

Shapes: `N` samples.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def _signed(value: int) -> int:
    """The 64-bit pattern of `value` as a signed integer, as torch wants it."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _mix_int(value: int) -> int:
    """SplitMix64's finaliser on one Python integer."""
    value &= _MASK
    value = (value ^ (value >> 30)) * _MIX_1 & _MASK
    value = (value ^ (value >> 27)) * _MIX_2 & _MASK
    return value ^ (value >> 31)


def _mix(value: Tensor) -> Tensor:
    """SplitMix64's finaliser, element by element, on an int64 tensor."""
    for shift, factor in ((30, _MIX_1), (27, _MIX_2), (31, None)):
        value = value ^ ((value >> shift) & ((1 << (64 - shift)) - 1))  # >> keeps the sign: mask makes it logical
        if factor is not None:
            value = value * _signed(factor)
    return value


def derive(*address: int | str) -> int:
    """A non-negative 63-bit seed from an address such as ``(seed, "student")`` or ``(seed, "dropout", epoch)``."""
    state = 0
    for part in address:
        number = zlib.crc32(part.encode()) | (1 << 62) if isinstance(part, str) else part
        state = _mix_int((state ^ _mix_int(number)) + _GOLDEN)
    return state >> 1


def bits(seed: int, purpose: str, epoch: int, index: Tensor) -> Tensor:
    """Uniform 63-bit integers, one per sample.

    Args:
        seed: the trial's seed.
        purpose: what is drawn, such as ``"order"`` or ``"flip"``; other purposes draw independently.
        epoch: epoch, counted from 1.
        index: sample indices ``[N]``, int64, on any device.

    Returns:
        int64 ``[N]`` in ``[0, 2**63)``, on the device of `index`.
    """
    return bits_from(start(seed, purpose, epoch), index)


def start(seed: int, purpose: str, epoch: int) -> int:
    """What :func:`bits` of all samples of an epoch start from, a signed 64-bit integer."""
    return _signed(derive(seed, purpose, epoch))


def bits_from(beginning: int | Tensor, index: Tensor) -> Tensor:
    """:func:`bits` from :func:`start`, which may be a scalar tensor: a compiled graph then serves all epochs."""
    return _mix(_mix(index * _signed(_GOLDEN) + beginning)) & ((1 << 63) - 1)


def integers(seed: int, purpose: str, epoch: int, index: Tensor, high: int) -> Tensor:
    """Uniform integers in ``[0, high)``, one per sample: int64 ``[N]``."""
    return bits(seed, purpose, epoch, index) % high


def uniform(seed: int, purpose: str, epoch: int, index: Tensor) -> Tensor:
    """Uniform numbers in ``[0, 1)``, one per sample: float64 ``[N]``, all 53 binary places drawn."""
    return (bits(seed, purpose, epoch, index) >> 10).double() * 2.0**-53


def order(seed: int, epoch: int, index: Tensor) -> Tensor:
    """A permutation of the positions of `index` for one epoch: int64 ``[N]``."""
    return torch.argsort(bits(seed, "order", epoch, index), stable=True)
