"""Plain data that lie beside weights: stood in for, so that they can be read around, and never made.

torch reads a checkpoint with an unpickler of its own (`weights_only`), which makes tensors and plain values and calls
nothing else. Training scripts also keep paths, dates, arrays, counters and configurations in it. Their names are let
through, and what stands for each is one of the classes below: it takes whatever it is given, keeps none of it, and runs
nothing of the class that it stands for, which need not even be installed.

Only names of plain data are let through. A file that holds anything else is refused as ever.
"""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict
from typing import Any

import numpy as np


class Aside:
    """In the place of something that is not read."""

    def __init__(self, *args: object, **named: object) -> None:
        pass

    def __new__(cls, *args: object, **named: object) -> Aside:
        """One that has nothing of what it was given."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


class AsideMapping:
    """In the place of a mapping, whose items are read: an `OrderedDict`, which torch fills."""

    def __new__(cls, *args: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]  # it is made as another class on purpose
        """An empty one."""
        return OrderedDict()


class AsideList:
    """In the place of a sequence, whose items are read: a list, which torch fills."""

    def __new__(cls, *args: object) -> list[Any]:  # type: ignore[misc]
        """An empty one."""
        return []


MAPPINGS = (
    "collections.defaultdict",
    "easydict.EasyDict",
    "addict.addict.Dict",
    "munch.Munch",
    "box.box.Box",
    "yacs.config.CfgNode",
    "fvcore.common.config.CfgNode",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)
"""Dictionaries, by the names under which pickles have them."""
LISTS = ("collections.deque",)
_BUILT_IN = (
    *("bool", "bytes", "dict", "float", "frozenset", "int", "list", "object", "range", "slice", "str", "tuple"),
)
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath")
_OMEGACONF = (
    *("dictconfig.DictConfig", "listconfig.ListConfig", "base.ContainerMetadata", "base.Metadata"),
    *(f"nodes.{kind}Node" for kind in ("Any", "Boolean", "Bytes", "Float", "Integer", "Path", "String")),
)
VALUES = (
    *(f"builtins.{name}" for name in _BUILT_IN),  # what a defaultdict makes, say: it makes nothing here
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")),
    *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
    "numpy.ndarray",
    *("decimal.Decimal", "fractions.Fraction", "uuid.UUID", "uuid.SafeUUID", "types.SimpleNamespace"),
    *(f"omegaconf.{name}" for name in _OMEGACONF),
    "typing.Any",  # omegaconf notes it of what it holds
    "ml_collections.config_dict.config_dict.ConfigDict",
    "mmengine.logging.history_buffer.HistoryBuffer",
)
"""Values of which nothing is kept."""

NUMBER = re.compile(r"b1|[iu][1248]|f[248]")
"""What NumPy calls the types of numbers in a pickle."""


class NumberType:
    """In the place of a type of NumPy's: what it is called, and in which order its bytes lie."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code = code if isinstance(code, str) and NUMBER.fullmatch(code) else None
        self.order = "="

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and state[1:2] in [("<",), (">",)]:
            self.order = state[1]


def number(kind: object = None, content: object = b"") -> float | int | bool | Aside:
    """In the place of a scalar of NumPy's, such as a best accuracy: the number; of anything else nothing is kept."""
    if isinstance(kind, NumberType) and kind.code is not None and isinstance(content, bytes):
        made = np.dtype(kind.order + kind.code)
        if len(content) == made.itemsize:
            return np.frombuffer(content, made)[0].item()  # type: ignore[no-any-return]
    return Aside()


LET_THROUGH: list[Any] = [
    argparse.Namespace,  # RepDistiller keeps its options beside the weights; it is made, since it runs nothing
    (NumberType, "numpy.dtype"),
    *((number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((Aside, name) for name in VALUES),
    *((AsideMapping, name) for name in MAPPINGS),
    *((AsideList, name) for name in LISTS),
]
"""For :func:`torch.serialization.safe_globals`."""
