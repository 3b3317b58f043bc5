"""`import sweep` costs next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import sweep
from tests.sweep.cli.test_import_cost import HEAVY

LOADED = "import json, sys; import sweep; print(dir(sweep)); print(json.dumps(sorted(sys.modules)))"


def test_the_import_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    public, modules = done.stdout.splitlines()
    assert "'load'" in public
    assert "'open'" in public
    loaded = {name.partition(".")[0] for name in json.loads(modules)}
    assert not loaded & {*HEAVY, "pydantic", "typer", "rich", "yaml", "pyarrow", "trainers"}


def test_all_that_is_public_is_there_and_nothing_else() -> None:
    assert [callable(getattr(sweep, name)) for name in sweep.__all__] == [True, True]
    with pytest.raises(AttributeError, match="module 'sweep' has no attribute 'lod'"):
        sweep.lod  # noqa: B018
