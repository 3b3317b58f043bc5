"""A user's files: which they are, what is refused, and what depends on what."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from tests.support.own import METHOD, MYKD, Folder
from trainers.code import MOST_BYTES, NO_CODE, Code, read
from trainers.errors import InputError

# -- what is read ---------------------------------------------------------------------------------------------------


def test_a_file_is_a_module_and_a_folder_a_package(folder: Folder) -> None:
    folder.write(one="x = 1", pkg__="", pkg__sub="y = 2", plain__mod="z = 3")
    code = folder.read("one.py", "pkg", "plain")
    assert [path for path, _ in code.files] == ["one.py", "pkg/__init__.py", "pkg/sub.py", "plain/mod.py"]
    assert code.modules == {
        "one": "one.py",
        "pkg": "pkg/__init__.py",
        "pkg.sub": "pkg/sub.py",
        "plain.mod": "plain/mod.py",
        "plain": "",
    }
    assert code.is_package("pkg") and code.is_package("plain") and not code.is_package("pkg.sub")
    assert code.shown("pkg/sub.py") == str(folder.path / "pkg" / "sub.py")


def test_code_goes_as_text_and_comes_back_equal(folder: Folder) -> None:
    folder.write(one="x = 'é\U0001fae8'\n", pkg__="")
    code = folder.read()
    back = Code.from_json(code.to_json())
    assert (back, back.key) == (code, code.key)
    assert back.shown("one.py") == "one.py"  # where it lay is of no use elsewhere
    again = pickle.loads(pickle.dumps(code))
    assert (again, again.folders) == (code, code.folders)


def test_what_was_worked_out_of_code_is_not_sent_along(folder: Folder) -> None:
    folder.write(one=f"x = {' + '.join(['1'] * 800)}")
    code = folder.read()
    small = len(pickle.dumps(code))
    code.fingerprint("one")
    assert len(pickle.dumps(code)) == small


def test_no_code_is_none() -> None:
    assert not NO_CODE
    assert NO_CODE.key == ""
    assert read([], Path()) == NO_CODE


def test_a_file_that_begins_with_a_mark_of_its_encoding_is_read(folder: Folder) -> None:
    (folder.path / "one.py").write_bytes(b"\xef\xbb\xbfx = 1\r\n")
    folder.write(two="x = 1\n")
    code = folder.read()
    assert code.fingerprint("one") == code.fingerprint("one")
    assert code.texts["one.py"] == "x = 1\r\n"


def test_of_a_folder_scripts_hidden_files_and_other_files_are_left_out(folder: Folder) -> None:
    folder.write(pkg__="", pkg__sub="")
    (folder.path / "pkg" / "__main__.py").write_text("raise SystemExit")
    (folder.path / "pkg" / ".hidden.py").write_text("")
    (folder.path / "pkg" / "my-script.py").write_text("")
    (folder.path / "pkg" / "data.bin").write_bytes(b"\0" * 2_000_000)
    (folder.path / "pkg" / ".venv").mkdir()
    (folder.path / "pkg" / ".venv" / "other.py").write_text("")
    assert [path for path, _ in folder.read("pkg").files] == ["pkg/__init__.py", "pkg/sub.py"]


# -- what is refused ------------------------------------------------------------------------------------------------


def refused(folder: Folder, *paths: str) -> str:
    with pytest.raises(InputError) as error:
        folder.read(*paths)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_file_that_is_not_there(folder: Folder) -> None:
    assert "there is no my_losses.py beside the spec" in refused(folder, "my_losses.py")


def test_a_file_that_is_no_python(folder: Folder) -> None:
    (folder.path / "notes.txt").write_text("")
    assert "notes.txt is a file, not a Python file or a package folder" in refused(folder, "notes.txt")


@pytest.mark.parametrize("name", ["my-losses.py", "2nd.py", "my losses.py", "__main__.py", "__init__.py"])
def test_a_name_that_no_module_can_have(folder: Folder, name: str) -> None:
    (folder.path / name).write_text("")
    assert f"{name}: no module can have the name" in refused(folder, name)


@pytest.mark.parametrize("path", ["my-paper", ".", "..", "my-paper/.."])
def test_a_folder_that_no_package_can_be(folder: Folder, path: str) -> None:
    (folder.path / "my-paper").mkdir()
    (folder.path / "my-paper" / "__init__.py").write_text("")
    assert "no module can have the name" in refused(folder, path)


def test_a_folder_without_python(folder: Folder) -> None:
    (folder.path / "pkg").mkdir()
    assert "there is no Python file in the folder pkg" in refused(folder, "pkg")


def test_a_pipe_is_not_waited_for(folder: Folder) -> None:
    os.mkfifo(folder.path / "one.py")
    assert "one.py is a pipe" in refused(folder, "one.py")
    folder.write(pkg__="")
    os.mkfifo(folder.path / "pkg" / "two.py")
    assert "is a pipe, not a file" in refused(folder, "pkg")


def test_a_link_out_of_its_folder(folder: Folder) -> None:
    folder.write(pkg__="")
    outside = folder.path.parent / "outside.py"
    outside.write_text("x = 1")
    (folder.path / "one.py").symlink_to(outside)
    (folder.path / "pkg" / "two.py").symlink_to(outside)
    assert "is a link that leads out of its folder" in refused(folder, "one.py")
    assert "is a link that leads out of its folder" in refused(folder, "pkg")


def test_links_in_a_circle(folder: Folder) -> None:
    folder.write(pkg__="")
    for place in (folder.path, folder.path / "pkg"):
        (place / "one.py").symlink_to("two.py")
        (place / "two.py").symlink_to("one.py")
    assert refused(folder, "one.py").endswith("one.py: Too many levels of symbolic links")
    assert refused(folder, "pkg").endswith("one.py: Too many levels of symbolic links")


def test_a_link_within_its_folder_is_a_file(folder: Folder) -> None:
    folder.write(one="x = 1")
    (folder.path / "two.py").symlink_to("one.py")
    code = folder.read()
    assert code.fingerprint("one") != ""
    assert code.texts["two.py"] == code.texts["one.py"]


def test_a_file_that_is_no_text(folder: Folder) -> None:
    (folder.path / "one.py").write_bytes("x = 'é'".encode("latin-1"))
    assert refused(folder, "one.py").endswith("one.py is not a text file (byte 5 is not UTF-8)")


@pytest.mark.parametrize("files", [1, 4])
def test_two_mebibytes(folder: Folder, files: int) -> None:
    for number in range(files):
        (folder.path / f"part{number}.py").write_text("#" * (2 * MOST_BYTES // files))
    message = refused(folder, *(f"part{number}.py" for number in range(files)))
    assert f"{MOST_BYTES:,} bytes" in message or f"at most {MOST_BYTES:,}" in message


def test_a_thousand_files(folder: Folder) -> None:
    folder.write(pkg__="")
    for number in range(1_001):
        (folder.path / "pkg" / f"m{number}.py").touch()
    assert "more than 1,000 files" in refused(folder, "pkg")


@pytest.mark.parametrize("name", ["json", "torch", "trainers", "sweep", "yaml", "sys"])
def test_a_name_that_hides_an_installed_module(folder: Folder, name: str) -> None:
    folder.write(**{name: "x = 1"})
    assert f"{name}.py would hide the module '{name}' that is installed here" in refused(folder, f"{name}.py")
    folder.write(**{f"{name}__": ""})
    assert f"{name} would hide" in refused(folder, name)


def test_a_file_beside_the_spec_hides_nothing_though_python_would_find_it(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(one="x = 1")
    monkeypatch.syspath_prepend(str(folder.path))
    monkeypatch.chdir(folder.path)
    assert folder.read("one.py")


def test_two_files_of_one_name(folder: Folder) -> None:
    folder.write(one="x = 1", pkg__="", sub__one="")
    assert "there is a file one.py under `code` already" in refused(folder, "one.py", "sub/one.py")
    assert "there is a file one.py under `code` already" in refused(folder, "one.py", "one.py")
    folder.write(one__="")
    assert "two files under `code` are the module 'one'" in refused(folder, "one.py", "one")


def test_a_syntax_error_is_told_with_its_file_and_line(folder: Folder) -> None:
    folder.write(one="x = 1\ndef f(:\n")
    assert refused(folder, "one.py").startswith(f"{folder.path / 'one.py'}:2: no Python: ")


@pytest.mark.parametrize("written", ["import helpers", "from helpers import x", "def f():\n    from helpers import x"])
def test_a_neighbour_that_is_imported_and_left_out(folder: Folder, written: str) -> None:
    folder.write(one=written, helpers="x = 1")
    assert "imports helpers, which lies beside it but is not under `code`; add helpers.py" in refused(folder, "one.py")
    assert folder.read("one.py", "helpers.py")


NOT_PACKED = ("", "[]", "1", '{"a.py": 1}', '{"../a.py": ""}', '{"/a.py": ""}', '{"a.txt": ""}', "[" * 99)


@pytest.mark.parametrize("text", NOT_PACKED)
def test_what_is_no_packed_code_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no code that was packed here"):
        Code.from_json(text)


def test_packed_code_is_as_large_as_code_may_be(folder: Folder) -> None:
    with pytest.raises(InputError, match="more than 1,048,576 bytes"):
        Code.from_json(Code((("a.py", "#" * (MOST_BYTES + 1)),)).to_json())


# -- fingerprints ---------------------------------------------------------------------------------------------------


def prints(**files: str) -> dict[str, str]:
    """The fingerprint of each module of files that nobody has written."""
    paths = {name: "/".join(part or "__init__" for part in name.split("__")) for name in files}
    code = Code(tuple(sorted((f"{paths[name]}.py", text) for name, text in files.items())))
    return {module: code.fingerprint(module) for module in code.modules}


def changed(before: dict[str, str], **edit: str) -> set[str]:
    """The modules whose fingerprint an edit changes."""
    first, second = prints(**before), prints(**(before | edit))
    return {module for module in first if first[module] != second[module]}


BASE = {"losses": "import helpers", "helpers": "import deep", "deep": "x = 1", "other": "y = 1"}


def test_what_a_module_imports_counts_directly_or_not_and_nothing_else() -> None:
    assert changed(BASE, deep="x = 2") == {"deep", "helpers", "losses"}
    assert changed(BASE, helpers="import deep\nz = 1") == {"helpers", "losses"}
    assert changed(BASE, losses="import helpers\nz = 1") == {"losses"}
    assert changed(BASE, other="y = 2") == {"other"}
    assert changed(BASE, deep="x = 1  # one", other='"""A docstring."""\ny = 1') == set()


def test_a_file_that_nobody_imports_changes_nothing() -> None:
    assert prints(**BASE, new="z = 1").items() >= prints(**BASE).items()


def test_modules_that_import_each_other_have_one_fate() -> None:
    ring = {"a": "import b", "b": "import a\nx = 1"}
    assert changed(ring, b="import a\nx = 2") == {"a", "b"}


def test_the_packages_around_a_module_count() -> None:
    package = {"pkg__": "x = 1", "pkg__one": "y = 1", "pkg__two": "z = 1"}
    assert changed(package, pkg__="x = 2") == {"pkg", "pkg.one", "pkg.two"}
    assert changed(package, pkg__one="y = 2") == {"pkg.one"}


WAYS = (
    *("from . import one", "from .one import y", "from pkg.one import y", "from pkg import one", "from pkg import *"),
    *("import pkg.one", "import pkg.one as o", "import pkg", "import pkg as p"),
    "import importlib\nimportlib.import_module('pkg.one')",
)


@pytest.mark.parametrize("written", WAYS)
def test_however_a_module_of_a_package_is_imported_it_counts(written: str) -> None:
    """`import pkg` too: `pkg.one` is there as soon as anybody has imported it."""
    package = {"pkg__": "", "pkg__one": "y = 1", "pkg__two": written, "far": "x = 1"}
    assert changed(package, pkg__one="y = 2") == {"pkg.one", "pkg.two"}


def test_what_imports_by_a_made_name_depends_on_all() -> None:
    files = {"a": "__import__('b' + suffix)", "bee": "x = 1", "c": "y = 1"}
    assert changed(files, bee="x = 2") == {"a", "bee"}


def test_a_module_s_name_is_part_of_it() -> None:
    assert prints(a="x = 1")["a"] != prints(b="x = 1")["b"]


def test_the_hash_is_the_same_in_every_release() -> None:
    """It is part of keys: another one would train all such trials again."""
    assert prints(losses=MYKD)["losses"] == "7344b5f50590108f"
    assert prints(**BASE)["losses"] == "a5da91b12f8fc20d"


def test_a_module_that_is_not_here_has_none() -> None:
    with pytest.raises(KeyError):
        Code((("a.py", METHOD),)).fingerprint("b")


def test_a_fingerprint_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan asks for it in each of its cells."""
    code = Code((("a.py", "import b"), ("b.py", "x = 1")))
    parsed: list[str] = []
    monkeypatch.setattr("trainers.code.files.digest", lambda tree: parsed.append("") or "0")
    assert len({code.fingerprint("a") for _ in range(3)}) == 1
    assert len(parsed) == 2
