"""What one machine gives the storage another one has, whole and as it was given."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow.fs import FileInfo, FileSelector, FileType, FSSpecHandler, PyFileSystem

from tests.support.object_store import BUCKET, KEYS, ObjectStore, serving
from tests.support.storages import Machine
from trainers.errors import AwayError, InputError, StorageError
from trainers.storage.shared import MARK, NOWHERE, Storage, connected, listed, storage_at


def write(path: Path, content: bytes = b"content") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def files(root: Path) -> dict[str, bytes]:
    """All that lies below a root."""
    found = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def test_a_file_comes_back_on_another_machine(machine: Machine) -> None:
    (one, here), (other, there) = machine("one"), machine("other")
    content = bytes(range(256)) * 20_000  # more than one part of an upload
    one.push(write(here / "teachers/abc/weights.pt", content))
    assert other.has(there / "teachers/abc/weights.pt")
    other.pull(there / "teachers/abc/weights.pt")
    assert files(there) == files(here) == {"teachers/abc/weights.pt": content}


def test_a_folder_is_fetched_as_far_as_it_is_asked_for_and_not_here(machine: Machine) -> None:
    (one, here), (other, there) = machine("one"), machine("other")
    for name in ("a/passport.json", "a/weights.pt", "b/passport.json"):
        one.push(write(here / name))
    mine = write(there / "b/passport.json", b"CONTENT")  # of the same size
    other.pull(there, "*/passport.json")
    assert files(there) == {"a/passport.json": b"content", "b/passport.json": b"CONTENT"}
    other.pull(there, anew=True)
    assert files(there) == files(here)
    assert mine.read_bytes() == b"content"
    assert other.sizes(there / "a") == {"passport.json": 7, "weights.pt": 7}


def test_a_file_that_was_cut_is_fetched_again_and_given_again(machine: Machine) -> None:
    (one, here), (other, there) = machine("one"), machine("other")
    path = write(here / "block", b"cu")
    one.push(path)
    write(path, b"whole")
    one.push(path)
    write(there / "block", b"c")
    other.pull(there / "block")
    assert (there / "block").read_bytes() == b"whole"


def test_what_the_storage_has_is_given_again_only_anew(machine: Machine) -> None:
    one, here = machine("one")
    path = write(here / "label.json", b"1")
    one.push(path)
    write(path, b"2")
    one.push(path)
    assert one.read(path) == b"1"
    one.push(path, anew=True)
    assert one.read(path) == b"2"


def test_a_mirrored_folder_is_equal_to_the_local_one(machine: Machine) -> None:
    (one, here), (other, there) = machine("one"), machine("other")
    folder = here / "trials/k/checkpoints"
    for name in ("epoch-1", "epoch-2"):
        write(folder / name, name.encode())
    one.mirror(folder)
    (folder / "epoch-1").unlink()
    write(folder / "epoch-2", b"longer than before")
    write(folder / "epoch-3")
    write(folder / ".epoch-4.temporary")
    one.mirror(folder)
    other.pull(there / "trials/k/checkpoints")
    assert files(there / "trials/k/checkpoints") == {"epoch-2": b"longer than before", "epoch-3": b"content"}
    one.release(folder)
    assert not folder.exists()
    assert one.has(folder / "epoch-3")


def test_what_is_removed_is_gone_there_and_not_here(machine: Machine) -> None:
    one, here = machine("one")
    for name in ("keep/x", "drop/x", "drop/y", "file"):
        one.push(write(here / name))
    one.remove(here / "drop")
    one.remove(here / "file")
    one.remove(here / "never there")
    assert one.sizes(here) == {"keep/x": 7}
    assert len(files(here)) == 4


def test_what_is_not_there_is_not_fetched(machine: Machine) -> None:
    one, here = machine("one")
    one.pull(here / "nothing")
    assert one.read(here / "nothing") is None
    assert one.sizes(here / "nothing") == {}
    assert not one.has(here / "nothing")
    assert files(here) == {}


def test_a_reader_never_sees_half_a_file(machine: Machine) -> None:
    (one, here), (other, there) = machine("one"), machine("other")
    contents = {f"block-{number}": bytes([number]) * (300_000 + 50_000 * number) for number in range(10)}
    done = threading.Event()

    def give() -> None:
        for name, content in contents.items():
            one.push(write(here / name, content))
        done.set()

    writer = threading.Thread(target=give)
    writer.start()
    looks = 0
    while not done.is_set() or looks == 0:
        other.pull(there)
        found = files(there)
        assert found.items() <= contents.items()
        looks += 1
    writer.join()
    other.pull(there)
    assert files(there) == contents


def test_a_storage_that_can_be_written_holds_no_trace_of_the_attempt_but_a_folder_s_mark(machine: Machine) -> None:
    one, here = machine("one")
    one.check_writable()
    one.push(write(here / "x"))
    one.check_writable()
    files, base = connected(one.uri)
    from pyarrow.fs import FileSelector

    held = {info.base_name for info in files.get_file_info(FileSelector(base, recursive=True)) if info.is_file}
    assert held == {"x"} | ({MARK} if files.type_name == "local" else set())


def test_without_a_uri_there_is_no_storage(tmp_path: Path) -> None:
    for uri in (None, ""):
        assert storage_at(uri, tmp_path) is NOWHERE
    write(tmp_path / "x")
    NOWHERE.push(tmp_path / "x")
    NOWHERE.mirror(tmp_path)
    NOWHERE.remove(tmp_path)
    NOWHERE.release(tmp_path)
    NOWHERE.check_writable()
    assert NOWHERE.sizes(tmp_path) == {}
    assert files(tmp_path) == {"x": b"content"}


def test_a_folder_may_be_named_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = storage_at("shared", tmp_path / "one")
    one.push(write(tmp_path / "one/x"))
    assert (tmp_path / "shared/x").read_bytes() == b"content"
    assert one.uri == str(tmp_path / "shared")


# -- names that somebody else has written ------------------------------------------------------------------------------


def test_what_does_not_lie_below_the_root_is_neither_read_nor_written(machine: Machine) -> None:
    (one, here), (other, there) = machine("one"), machine("other")
    one.push(write(here / "sweeps/x"))
    write(here.parent / "victim")
    for path in (there / "sweeps/../../victim", there / "..", there.parent / "victim", Path("/etc/hostname")):
        for ask in (other.pull, other.push, other.read, other.has, other.sizes, other.mirror, other.remove):
            with pytest.raises(StorageError, match=r"does not lie below .*other"):
                ask(path)
    assert (here.parent / "victim").read_bytes() == b"content"
    assert one.sizes(here) == {"sweeps/x": 7}


class Listing(FSSpecHandler):
    """A file system, as far as it is listed: an object store takes any text for a name."""

    def __init__(self, *names: str) -> None:
        super().__init__(None)
        self.names = names

    def get_file_info_selector(self, selector: FileSelector) -> list[FileInfo]:
        return [FileInfo(name, FileType.File, size=1) for name in self.names]


def test_listed_names_lie_below_their_folder() -> None:
    names = ["base/a", "base/b/c", "base//etc/passwd", "base/../x", "base/b/../../x", "base/.hidden/x"]
    assert list(listed(PyFileSystem(Listing(*names)), "base")) == ["a", "b/c"]


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "s3://me:opensesame@bucket/prefix",
        "s3://me@bucket/prefix",
        "s3://bucket/prefix?secret_key=opensesame",
        "abfs://container:opensesame@account/path",
    ],
)
def test_a_uri_with_credentials_is_refused_and_not_repeated(uri: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="set it in the environment of each machine") as error:
        storage_at(uri, tmp_path)
    assert "opensesame" not in str(error.value)


def test_what_names_no_storage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ftp://host/path names no storage .*; expected s3://bucket/prefix"):
        storage_at("ftp://host/path", tmp_path).check_writable()
    with pytest.raises(InputError, match="is the root itself"):
        storage_at(tmp_path.as_uri(), tmp_path)


def test_a_folder_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    write(tmp_path / "file")
    with pytest.raises(StorageError, match=r"the storage file://.*/file/shared failed: ") as error:
        storage_at(f"{tmp_path.as_uri()}/file/shared", tmp_path / "root").check_writable()
    assert "\n" not in str(error.value)


def test_a_bucket_that_does_not_exist_is_named(object_store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"the storage s3://missing/.* has no such bucket"):
        storage_at(object_store.uri("prefix", bucket="missing"), tmp_path).check_writable()


def failing(storage: Storage) -> str:
    with pytest.raises(StorageError) as error:
        storage.check_writable()
    return str(error.value)


@pytest.mark.slow(1)
def test_refused_credentials_and_a_server_that_is_gone_are_told_apart(tmp_path: Path) -> None:
    with serving(strict=True) as store:
        one = storage_at(store.uri("prefix"), tmp_path)
        message = failing(one)
        assert message.startswith(f"the storage s3://{BUCKET}/prefix?")
        assert "refuses this machine's credentials" in message
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in message
    assert "does not answer" in failing(one)


ASKED: list[Callable[[Storage, Path], object]] = [
    lambda storage, root: storage.sizes(root),
    lambda storage, root: storage.has(root / "x"),
    lambda storage, root: storage.read(root / "x"),
    lambda storage, root: storage.pull(root / "x"),
    lambda storage, root: storage.push(root / "x", anew=True),
    lambda storage, root: storage.mirror(root),
    lambda storage, root: storage.remove(root / "x"),
]


@pytest.mark.parametrize("ask", ASKED, ids=["sizes", "has", "read", "pull", "push", "mirror", "remove"])
def test_an_empty_folder_in_the_place_of_a_storage_s_is_a_storage_that_is_away(
    tmp_path: Path, ask: Callable[[Storage, Path], object]
) -> None:
    """As the one on which a disk is mounted, when it is not."""
    root, disk = tmp_path / "root", tmp_path / "disk"
    first = storage_at(str(disk), root)
    first.check_writable()
    first.push(write(root / "x"))
    begun = storage_at(str(disk), root, begun=True)
    disk.rename(tmp_path / "unmounted")
    disk.mkdir()
    for storage in (first, begun):
        with pytest.raises(AwayError, match=r"is not there: .*disk lacks its \.storage; is its disk mounted\?"):
            ask(storage, root)
    assert list(disk.iterdir()) == []
    disk.rmdir()
    (tmp_path / "unmounted").rename(disk)
    for storage in (first, begun):
        ask(storage, root)


def test_a_storage_that_nobody_has_written_to_is_empty(tmp_path: Path) -> None:
    storage = storage_at(str(tmp_path / "disk"), tmp_path / "root")
    assert storage.sizes(tmp_path / "root") == {}
    for _ in range(2):
        storage.check_writable()
        assert storage.sizes(tmp_path / "root") == {}, "its mark is none of its files"
        assert [path.name for path in (tmp_path / "disk").iterdir()] == [".storage"]
