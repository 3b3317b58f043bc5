"""Our packages are found in a folder that holds a user's own of their names; each process begins there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kd_sweep import HERE
from tests.support.own_modules import OTHER, write_own_modules


def python(folder: Path, *arguments: str, **environment: str) -> str:
    """What Python prints that is started in that folder, and looks there first."""
    path = os.pathsep.join(["", str(HERE), os.environ.get("PYTHONPATH", "")])  # an empty entry is the folder
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a user's modules."""
    write_own_modules(tmp_path)
    return tmp_path


def test_the_users_modules_are_what_python_finds_by_itself(own: Path) -> None:
    """Else the tests below would show nothing."""
    assert Path(python(own, "-c", "import sweep; print(sweep.__file__)")) == own / "sweep.py"
    assert (own / "RAN").read_text() == "sweep "


def test_ours_are_found_first_and_a_users_other_modules_as_ever(own: Path) -> None:
    tell = f"import kd_sweep, sweep, trainers, search_spaces, {OTHER} as other; print(other.ANSWER, other.__file__)"
    ours = "; print(*{module.__file__ for module in (sweep, trainers, search_spaces)}, sep='\\n')"
    first, *files = python(own, "-c", tell + ours).splitlines()
    assert first == f"42 {own / OTHER}.py"
    assert {Path(file) for file in files} == {
        HERE / name / "__init__.py" for name in ("sweep", "trainers", "search_spaces")
    }
    assert not (own / "RAN").exists()


def test_ours_are_found_after_a_folder_was_put_first(own: Path) -> None:
    """As Ray does in a worker that is running already."""
    later = f"import kd_sweep, sys; sys.path.insert(0, {str(own)!r}); import sweep.text, trainers.errors"
    python(own.parent, "-c", later)
    assert not (own / "RAN").exists()


def test_the_command_line_runs_as_a_module_too(own: Path) -> None:
    assert "student" in python(own, "-m", "kd_sweep", "--help")
    assert not (own / "RAN").exists()


def test_a_package_of_that_name_that_is_imported_already_is_named(own: Path) -> None:
    early = "import trainers\ntry:\n import kd_sweep\nexcept ImportError as error:\n print(error)"
    told = python(own, "-c", early)
    assert told == (f"another 'trainers' is imported already, from {own}/trainers/__init__.py; import sweep before it")


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_processes_that_are_spawned_find_ours(own: Path, start: str) -> None:
    """They unpickle a function of `trainers` before anything of ours runs in them."""
    work = f"""
import sys, kd_sweep
from multiprocessing import get_context
from trainers.allotment import cores
before = sys.path[:]
process = get_context({start!r}).Process(target=cores)
with kd_sweep.spawning():
    process.start()
process.join()
print(process.exitcode, sys.path == before)
"""
    assert python(own, "-c", work) == "0 True"
    assert not (own / "RAN").exists()


STREAM = """
import kd_sweep, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import torch
from PIL import Image
from trainers.data.pixels import streaming
streaming.START = "spawn"
Image.new("RGB", (8, 8)).save("one.png")
zero = torch.zeros(1, dtype=torch.long)
split = streaming.StreamedSplit(Path(), ("one.png",), zero, zero, zero, streaming.Cropping(8, 8), workers=1)
print([tuple(batch.images.shape) for batch in split.batches([zero])])
"""


@pytest.mark.slow(10)
def test_what_decodes_images_finds_ours_where_it_is_spawned(own: Path) -> None:
    """As everywhere but on Linux, in a worker whose path Ray has begun with the user's folder."""
    assert python(own, "-c", STREAM.format(folder=str(own))) == "[(1, 3, 8, 8)]"
    assert not (own / "RAN").exists()
