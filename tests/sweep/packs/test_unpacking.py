"""Packs that somebody has made up, cut or changed, and full disks: refused in one sentence, with nothing left."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sweep.cli.app import main
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.packs import archive
from sweep.packs.manifest import FORMAT, MANIFEST
from sweep.packs.packing import _archive
from sweep.packs.unpacking import unpack
from sweep.plan.slots import Plan
from tests.support.examples import begin, record, small_spec
from trainers.errors import InputError, StorageError

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a pack holds, without the figures, which take seconds to draw."""
    from sweep.plan.expand import build_plan

    plan, place = build_plan(small_spec()), tmp_path_factory.mktemp("pack") / "small"
    place.mkdir()
    with closing(Ledger(place.parent / "ledger.db")) as ledger:
        begin(ledger, plan)
        for slot in plan.slots:
            record(ledger, plan, slot, [80.0])
        ledger.copy(place / "ledger.db")
    (place / "spec.yaml").write_text(small_spec().text)
    (place / "leaderboard.md").write_text("| a table |\n" * 1000)
    return place


def ledger_id(folder: Path) -> str:
    with closing(Ledger(folder.parent / "ledger.db")) as ledger:
        return ledger.id


@pytest.fixture
def whole(folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "small.sweep.zip"
    _archive(folder, ledger_id(folder), path)
    return path


def manifest_of(members: Members, /, **changes: Any) -> bytes:
    """A manifest that tells the truth of these members, but for the changes."""
    entries = {name: {"size": len(text), "sha256": hashlib.sha256(text).hexdigest()} for name, text in members.items()}
    said = {"format": FORMAT, "name": "small", "releases": {"kd-sweep": "9.9"}, "members": entries}
    return json.dumps(said | changes).encode()


@pytest.fixture
def members(folder: Path) -> Members:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".db", ".yaml", ".md")}


@pytest.fixture
def forged(tmp_path: Path, folder: Path) -> Callable[..., Path]:
    """Writes a pack of any members, by default with a manifest that tells the truth of them."""

    def write(members: Members, manifest: bytes | None = None, twice: str = "", mode: int = 0, **changes: Any) -> Path:
        path = tmp_path / "forged.sweep.zip"
        text = manifest if manifest is not None else manifest_of(members, **({"ledger": ledger_id(folder)} | changes))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            target.writestr(MANIFEST, text)
            for name, content in members.items():
                info = zipfile.ZipInfo(name)
                info.external_attr = mode << 16 if name == "odd" or name.startswith("code/") else 0
                target.writestr(info, content, zipfile.ZIP_DEFLATED)
            if twice:
                with pytest.warns(UserWarning, match="Duplicate"):
                    target.writestr(twice, b"again")
        return path

    return write


def refused(path: Path, root: Root, capsys: pytest.CaptureFixture[str]) -> str:
    """The command's message; nothing is left of what was tried."""
    with pytest.raises(SystemExit) as end:
        main(["unpack", str(path), "--root", str(root.path)])
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert (out, err.count("\n"), err[:7]) == ("", 1, "sweep: ")
    left = [path.name for path in root.path.rglob("*")] if root.path.exists() else []
    assert set(left) <= {".gitignore", "sweeps"}
    return err


def test_a_pack_becomes_a_sweep(whole: Path, root: Root, folder: Path) -> None:
    assert unpack(whole, root) == "small"
    there = {path.name for path in root.sweep("small").folder.iterdir()}
    assert there == {"ledger.db", "spec.yaml", "leaderboard.md", "run.lock"}
    assert [path.name for path in root.sweeps.iterdir()] == ["small"]
    assert root.git_ignores.exists()
    assert root.names() == ["small"]


def test_a_pack_that_is_cut_anywhere_is_refused(whole: Path, root: Root, tmp_path: Path) -> None:
    content, torn = whole.read_bytes(), tmp_path / "torn.sweep.zip"
    for length in [*range(0, len(content), max(1, len(content) // 199)), len(content) - 1]:
        torn.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"torn\.sweep\.zip is no whole pack"):
            unpack(torn, root)
    assert not root.path.exists()


def test_a_pack_with_a_byte_changed_is_refused_or_the_same(whole: Path, root: Root, tmp_path: Path) -> None:
    """The zip format has bytes that say nothing, such as times; what is unpacked is what was packed, or nothing is."""
    content, changed = whole.read_bytes(), tmp_path / "changed.sweep.zip"
    refusals = 0
    for place in range(0, len(content), max(1, len(content) // 199)):
        changed.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        here = Root(tmp_path / f"root-{place}")
        try:
            unpack(changed, here)
        except InputError:
            refusals += 1
            assert here.names() == []
        else:
            with closing(Ledger(here.sweep("small").ledger)) as ledger:
                ledger.verify()
    assert refusals > 150


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "code/../../evil.py",
        "/etc/evil",
        "code//evil.py",
        "code\\..\\evil.py",
        "C:evil",
        "code/.",
        "unknown.bin",
        "trials/aa/weights.pt",
        "run.lock",
        "weights/../x.safetensors",
        "figures/a/../../x.png",
        "code/a\x1b.py",
        "ledger.db-wal",
    ],
)
def test_a_member_that_no_pack_has_is_refused(
    name: str, members: Members, forged: Callable[..., Path], root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(forged(members | {name: b"evil"}), root, capsys)
    assert "which no pack of format 1 has" in said or "is no whole pack" in said
    assert not list(root.path.parent.rglob("*evil*"))


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR], ids=["link", "device", "pipe", "folder"]
)
def test_a_member_that_is_no_plain_file_is_refused(
    kind: int, members: Members, forged: Callable[..., Path], root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(forged(members | {"code/a.py": b"/etc/passwd"}, mode=kind | 0o777), root, capsys)
    assert "it holds 'code/a.py', which is no plain file" in said


@pytest.mark.parametrize(
    "pair", [("code/a.py", "code/A.py"), ("code/é.py", "code/e\u0301.py"), ("code/a", "code/A/b.py")]
)
def test_names_that_are_one_to_some_disks_are_refused(
    pair: tuple[str, str], members: Members, forged: Callable[..., Path], root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(forged(members | dict.fromkeys(pair, b"")), root, capsys)
    assert "which may be one file" in said or "below a file" in said


def test_a_member_that_is_there_twice_is_refused(
    members: Members, forged: Callable[..., Path], root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "which may be one file" in refused(forged(members, twice="spec.yaml"), root, capsys)


def test_a_pack_of_a_later_release_says_which(
    members: Members, forged: Callable[..., Path], root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    later = manifest_of(members, format=FORMAT + 1, members="told in another way")
    said = refused(forged(members, later), root, capsys)
    assert "was made by a later release (kd-sweep 9.9, format 2; this one reads up to 1); update kd-sweep" in said


MANIFESTS: dict[str, tuple[dict[str, Any], str]] = {
    "another checksum": ({"members": {"spec.yaml": {"size": 1, "sha256": "0" * 64}}}, "spec.yaml"),
    "a name that leaves": ({"name": "../small"}, "wrong at 'name'"),
    "another name": ({"name": "other"}, "its ledger is another sweep's"),
    "another ledger": ({"ledger": "0" * 32}, "its ledger is another sweep's"),
    "no ledger": ({"ledger": None}, "wrong at 'ledger'"),
    "a path that is two lines": ({"members": {"a\nb": {"size": 1, "sha256": "0"}}}, r"wrong at 'members.a\nb.sha256'"),
    "format zero": ({"format": 0}, "wrong at 'format'"),
    "a size below zero": (
        {"members": {"spec.yaml": {"size": -1, "sha256": "0" * 64}}},
        "wrong at 'members.spec.yaml.size'",
    ),
}


@pytest.mark.parametrize(("changes", "says"), MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_that_does_not_tell_the_truth_is_refused(
    changes: dict[str, Any],
    says: str,
    members: Members,
    forged: Callable[..., Path],
    folder: Path,
    root: Root,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = json.loads(manifest_of(members))["members"] | changes.get("members", {})
    text = manifest_of(members, **({"ledger": ledger_id(folder)} | changes | {"members": told}))
    assert says in refused(forged(members, text), root, capsys)


def test_a_member_with_another_content_is_refused(
    members: Members, forged: Callable[..., Path], folder: Path, root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    true = manifest_of(members, ledger=ledger_id(folder))
    other = members | {"leaderboard.md": members["leaderboard.md"].replace(b"table", b"fable")}
    assert "leaderboard.md is not what was packed: another checksum" in refused(forged(other, true), root, capsys)


def test_a_member_with_more_than_was_told_is_not_unfolded_further(
    members: Members, forged: Callable[..., Path], folder: Path, root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    true = manifest_of(members, ledger=ledger_id(folder))
    bomb = members | {"leaderboard.md": bytes(2**26)}
    assert "has more than the 12,000 bytes" in refused(forged(bomb, true), root, capsys)


def test_what_would_unfold_out_of_all_proportion_is_refused(
    members: Members,
    forged: Callable[..., Path],
    root: Root,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive, "ALWAYS_ALLOWED", 2**20)
    said = refused(forged(members | {"leaderboard.md": bytes(2**26)}), root, capsys)
    assert "it would unfold to 67," in said
    assert not root.path.exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive", b"\x1f\x8b\x08\x00"])
def test_what_is_no_archive_is_refused(
    content: bytes, root: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some.zip").write_bytes(content)
    assert "some.zip is no whole pack of a sweep: it is no zip archive" in refused(tmp_path / "some.zip", root, capsys)


def test_no_file_a_folder_and_an_archive_of_something_else_are_refused(
    root: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "No such file" in refused(tmp_path / "missing", root, capsys)
    assert "is a folder, not a file" in refused(tmp_path, root, capsys)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("notes.txt", "mine")
    assert "it has no manifest.json" in refused(tmp_path / "other.zip", root, capsys)


def test_a_damaged_ledger_is_refused(
    members: Members, forged: Callable[..., Path], root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = members | {"ledger.db": members["ledger.db"].replace(b"resnet20", b"resnet21", 3)}
    assert "its ledger cannot be read" in refused(forged(damaged), root, capsys)


@pytest.mark.parametrize("key", ["../../../evil", "/etc", "", "a.b", "0123\n"])
def test_a_trial_whose_folder_would_lie_elsewhere_is_refused(
    key: str,
    folder: Path,
    tmp_path: Path,
    members: Members,
    forged: Callable[..., Path],
    root: Root,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(folder / "ledger.db", tmp_path / "ledger.db")
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        ledger.append("start", key, body={"slot": "any"})
        ledger.copy(tmp_path / "whole.db")
    odd = members | {"ledger.db": (tmp_path / "whole.db").read_bytes()}
    assert f"a trial of it is called {key!r}, which is no key" in refused(forged(odd), root, capsys)


def test_a_sweep_that_is_there_is_left_as_it_is(
    whole: Path, root: Root, small_plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Ledger(root.sweep("small").ledger)) as ledger:
        begin(ledger, small_plan)
        before = ledger.id
    with pytest.raises(InputError, match=r"lies at .* already, and is left as it is; choose another --root"):
        unpack(whole, root)
    with closing(Ledger(root.sweep("small").ledger)) as ledger:
        assert ledger.id == before
    assert [path.name for path in root.sweeps.iterdir()] == ["small"]


def test_an_empty_folder_of_its_name_is_no_sweep(whole: Path, root: Root) -> None:
    root.sweep("small").folder.mkdir(parents=True)
    assert unpack(whole, root) == "small"


def test_a_full_disk_leaves_nothing_behind(whole: Path, root: Root) -> None:
    code = f"""
import resource, signal
from pathlib import Path
from sweep.layout import Root
from sweep.packs.unpacking import unpack
from trainers.errors import StorageError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    unpack(Path({str(whole)!r}), Root(Path({str(root.path)!r})))
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot unpack {whole} below {root.path}: File too large")
    assert list(root.sweeps.iterdir()) == []


def test_too_small_a_disk_is_told_before_anything_is_written(
    whole: Path, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100})())
    with pytest.raises(StorageError, match=r"has room for 100 bytes, and the pack unfolds to"):
        unpack(whole, root)
    assert list(root.sweeps.iterdir()) == []


def test_a_root_that_is_a_file_is_one_message(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot unpack"):
        unpack(whole, Root(tmp_path / "file"))
