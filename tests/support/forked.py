"""Many short commands in one environment: each in a process of its own, forked off one that has imported everything.

A command that is typed imports torch and MLflow first, which is most of its time. What the interpreter takes from its
environment at its start (locale, encodings) is the same for all of them here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.command import Done, User

PARENT = """\
import json, os, sys, traceback
import matplotlib.pyplot, mlflow, pandas, scipy.stats, torch
import sweep.run
from sweep.cli import main

def command(arguments, files):
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    return 1

for line in sys.stdin:
    child = os.fork()
    if not child:
        code = command(*json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forked:
    """Somebody who types one short command after the other."""

    def __init__(self, user: User, process: subprocess.Popen[str]) -> None:
        self._user = user
        self._process = process
        self._files = [user.folder / name for name in ("printed.out", "printed.err")]

    def sweep(self, *arguments: str) -> Done:
        """Run a command to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([arguments, [str(file) for file in self._files]]) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        out, err = (file.read_text(encoding=self._user.encoding) for file in self._files)
        return Done(code, out, err)


@contextmanager
def forked(user: User, options: Sequence[str] = (), **environment: str) -> Iterator[Forked]:
    """Commands of a user's, without Ray and without code of hers."""
    with subprocess.Popen(
        [sys.executable, *options, "-c", PARENT],
        cwd=user.folder,
        env=user.environment() | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        yield Forked(user, process)
        assert process.stdin is not None
        process.stdin.close()
