"""YAML as data with line numbers: the safe loader's scalars, and where each value stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from search_spaces.limits import LONGEST_NUMBER, MOST_DIGITS, MOST_ENTRIES, MOST_KEYS, MOST_MISTAKES, MOST_VALUES
from search_spaces.yaml_numbers import misleading
from trainers.errors import Mistake, SpecError

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the document to a value."""


class _Loader(yaml.SafeLoader):
    """The safe loader, with `1e-3` read as a number (YAML 1.1 has it as a string)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_MERGE = "tag:yaml.org,2002:merge"
"""Of the key ``<<``, whose mappings stand in for keys that are not written out beside it."""
_CONSTRUCTION = (ValueError, KeyError, IndexError, AttributeError, OverflowError)
"""What PyYAML's constructors raise for a scalar that is not of its tag's type."""


class Document:
    """A parsed document: `data`, the `mistakes` found while parsing, and the line of every value.

    Aliases (``*name``) and merge keys (``<<``) are read: each is its anchor's value once more, on its anchor's lines.

    Raises:
        SpecError: with the mistakes, where they are too many to go on, or aliases unfold to too much.
    """

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.mistakes: list[Mistake] = []
        self.data: Any = None
        self._different: set[Mistake] = set()
        self._last_line = text.count("\n") + 1
        self._lines: dict[Path, int] = {(): 1}
        self._written: dict[Path, str] = {}
        self._around: set[int] = set()
        """Nodes that are being built: an alias of one of them would have no end."""
        self._values = 0
        try:
            self._parse(text)
        except yaml.MarkedYAMLError as error:
            mark, problem = error.problem_mark or error.context_mark, str(error.problem or error.context)
            self.add_line(mark.line + 1 if mark else 1, f"not YAML: {problem[:_LONGEST_PROBLEM]}")
        except yaml.YAMLError as error:
            self.add_line(1, f"not YAML: {str(error).splitlines()[0]}")
        except RecursionError:
            self.add_line(1, "not a spec: nested too deeply")
        except (ValueError, OverflowError) as error:  # such as the escape "\UFFFFFFFF"
            self.add_line(1, f"not YAML: {error}")

    def add(self, path: Path, message: str) -> None:
        """A mistake at the value under `path` (or the nearest value above it). Raises SpecError where they are too many
        to go on."""
        where = path
        while where not in self._lines:
            where = where[:-1]
        self.add_line(self._lines[where], f"{dotted(path)}: {message}" if path else message)

    def add_line(self, line: int, message: str) -> None:
        """A mistake at a line (counted from 1). Raises SpecError where they are too many to go on."""
        self.mistakes.append(Mistake(self.file, line, message))
        self._different.add(self.mistakes[-1])
        if len(self._different) == MOST_MISTAKES:
            more = f"there may be more mistakes; after {MOST_MISTAKES} no more are looked for"
            self.mistakes.append(Mistake(self.file, self._last_line, more))
            raise SpecError(self.mistakes)

    def written(self, path: Path) -> str | None:
        """A value that is no text, as it stands in the file: ``2024-01-01`` or ``no``; None of any other."""
        return self._written.get(path)

    def _parse(self, text: str) -> None:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            self.data = None if node is None else self._build(loader, node, ())
        finally:
            loader.dispose()

    def _build(self, loader: _Loader, node: yaml.Node, path: Path) -> Any:
        self._lines.setdefault(path, node.start_mark.line + 1)
        self._count(path)
        if id(node) in self._around:
            self.add(path, "an alias (*) that stands inside of its own anchor (&) has no end")
            return None
        if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN:
            self.add(path, f"tags such as {_short(node.tag)} are not read")
        most, what = (MOST_ENTRIES, "entries") if isinstance(node, yaml.SequenceNode) else (MOST_KEYS, "keys")
        if isinstance(node, yaml.CollectionNode) and len(node.value) > most:
            self.add(path, f"has {len(node.value):,} {what}; at most {most:,}")
            return None
        self._around.add(id(node))
        value = self._built(loader, node, path)
        self._around.discard(id(node))
        return value

    def _built(self, loader: _Loader, node: yaml.Node, path: Path) -> Any:
        if isinstance(node, yaml.SequenceNode):
            return [self._build(loader, item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, path)
        return self._scalar(loader, node, path)

    def _count(self, path: Path) -> None:
        """Raises SpecError where aliases of aliases have made more of a small file than any spec is."""
        self._values += 1
        if self._values > MOST_VALUES:
            self.add(path, f"anchors and aliases (&, *) unfold to more than {MOST_VALUES:,} values; write them out")
            raise SpecError(self.mistakes)

    def _scalar(self, loader: _Loader, node: yaml.Node, path: Path) -> Any:
        if node.tag in _NUMBERS and len(node.value) > LONGEST_NUMBER:
            self.add(path, f"is a number of {len(node.value):,} characters; at most {LONGEST_NUMBER} are read")
            return None
        try:
            value = loader.construct_object(node)
        except _CONSTRUCTION as error:  # such as the date 2026-99-99, or `!!bool maybe`
            reason = f": {error}" if type(error) is ValueError else ""
            self.add(path, f"cannot be read as {_short(node.tag)}, found {str(node.value)[:60]!r}{reason}")
            return None
        if isinstance(value, str) and not _writable(value):
            self.add(path, "holds half of a surrogate pair, which is no character")
            return None
        if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
            self.add(path, f"is too large; whole numbers have at most {MOST_DIGITS} digits, found {str(value)[:60]}")
            return None
        misread = misleading(node.value, value) if node.tag in _NUMBERS else None
        if misread is not None:
            self.add(path, misread)
            return None
        if not isinstance(value, str):
            self._written[path] = node.value
        return value

    def _mapping(self, loader: _Loader, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        built: dict[str, Any] = {}
        own = [entry for entry in node.value if entry[0].tag != _MERGE]
        for key_node, value_node in own:
            key = _key(key_node)
            self._lines[(*path, key)] = key_node.start_mark.line + 1
            if key in built:
                self.add((*path, key), "this key stands here twice")
            built[key] = self._build(loader, value_node, (*path, key))
        for key_node, value_node in self._merged(node, path):
            key = _key(key_node)
            self._count(path)
            if key not in built:
                self._lines[(*path, key)] = key_node.start_mark.line + 1
                built[key] = self._build(loader, value_node, (*path, key))
        return built

    def _merged(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Keys and values that the merge keys of a mapping add to it, the one that counts first."""
        for key_node, value_node in node.value:
            if key_node.tag != _MERGE:
                continue
            several = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            for one in several:
                self._count(path)
                if not isinstance(one, yaml.MappingNode) or id(one) in self._around:
                    self.add_line(key_node.start_mark.line + 1, f"{_MERGED}, found {_said(one)}")
                    continue
                yield from (entry for entry in one.value if entry[0].tag != _MERGE)
                self._around.add(id(one))
                yield from self._merged(one, path)
                self._around.discard(id(one))


_MERGED = "<< takes a mapping, or a list of mappings, each an alias (*name) of one that stands elsewhere"


def _said(node: yaml.Node) -> str:
    kinds = {yaml.ScalarNode: "a single value", yaml.SequenceNode: "a list", yaml.MappingNode: "itself"}
    return kinds[type(node)]


def _key(node: yaml.Node) -> str:
    """A key, which is always text; ``?`` for one that is none."""
    key = str(node.value) if isinstance(node, yaml.ScalarNode) else "?"
    return key if _writable(key) else "?"


_LONGEST_KEY = 80
"""Characters of a key that a message shows."""
_LONGEST_PROBLEM = 200
"""Characters of the parser's own messages, which name whole tokens."""


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")[:_LONGEST_KEY]


def _writable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def dotted(path: Path) -> str:
    """A path as a person writes it: ``methods[1].dhkd.alpha``; long keys are cut."""
    text = ""
    for part in path:
        key = part if isinstance(part, int) or len(part) <= _LONGEST_KEY else f"{part[:_LONGEST_KEY]}…"
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text
