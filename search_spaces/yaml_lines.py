"""YAML as data with line numbers: the safe loader's scalars, and where each value stands."""

from __future__ import annotations

import re
from typing import Any

import yaml

from trainers.errors import Mistake

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the document to a value."""


class _Loader(yaml.SafeLoader):
    """The safe loader, with `1e-3` read as a number (YAML 1.1 has it as a string)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_CONSTRUCTION = (ValueError, KeyError, IndexError, AttributeError, OverflowError)
"""What PyYAML's constructors raise for a scalar that is not of its tag's type."""


class Document:
    """A parsed document: `data`, the `mistakes` found while parsing, and the line of every value."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.mistakes: list[Mistake] = []
        self.data: Any = None
        self._lines: dict[Path, int] = {(): 1}
        self._seen: set[int] = set()
        try:
            self._parse(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.add_line(mark.line + 1 if mark else 1, f"not YAML: {error.problem or error.context}")
        except yaml.YAMLError as error:
            self.add_line(1, f"not YAML: {str(error).splitlines()[0]}")
        except RecursionError:
            self.add_line(1, "not a spec: nested too deeply")
        except (ValueError, OverflowError) as error:  # such as the escape "\UFFFFFFFF"
            self.add_line(1, f"not YAML: {error}")

    def add(self, path: Path, message: str) -> None:
        """A mistake at the value under `path` (or the nearest value above it)."""
        where = path
        while where not in self._lines:
            where = where[:-1]
        self.add_line(self._lines[where], f"{dotted(path)}: {message}" if path else message)

    def add_line(self, line: int, message: str) -> None:
        """A mistake at a line (counted from 1)."""
        self.mistakes.append(Mistake(self.file, line, message))

    def _parse(self, text: str) -> None:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            self.data = None if node is None else self._build(loader, node, ())
        finally:
            loader.dispose()

    def _build(self, loader: _Loader, node: yaml.Node, path: Path) -> Any:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self._seen:
            self.add(path, "anchors and aliases (&, *) are not read; write the value out")
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN:
            self.add(path, f"tags such as {_short(node.tag)} are not read")
        if isinstance(node, yaml.SequenceNode):
            return [self._build(loader, item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, path)
        return self._scalar(loader, node, path)

    def _scalar(self, loader: _Loader, node: yaml.Node, path: Path) -> Any:
        try:
            value = loader.construct_object(node)
        except _CONSTRUCTION as error:  # such as the date 2026-99-99, or `!!bool maybe`
            reason = f": {error}" if type(error) is ValueError else ""
            self.add(path, f"cannot be read as {_short(node.tag)}, found {str(node.value)[:60]!r}{reason}")
            return None
        if isinstance(value, str) and not _writable(value):
            self.add(path, "holds half of a surrogate pair, which is no character")
            return None
        return value

    def _mapping(self, loader: _Loader, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            key = key if _writable(key) else "?"
            self._lines[(*path, key)] = key_node.start_mark.line + 1
            if key in built:
                self.add((*path, key), "this key stands here twice")
            built[key] = self._build(loader, value_node, (*path, key))
        return built


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _writable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def dotted(path: Path) -> str:
    """A path as a person writes it: ``methods[1].dhkd.alpha``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
