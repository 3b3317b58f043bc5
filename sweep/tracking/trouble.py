"""What an error of MLflow's client means: nobody answers, what answers lets nothing in, or one request was refused.

A server that is away is asked again, and told later. One that lets nothing in says what has to be done first. What it
refuses it would refuse again: that request is set aside, and all others go on. So it is with a route that lets nothing
in on a server that lets other requests in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from http import HTTPStatus
from typing import Literal

from sweep.text import without_password
from sweep.tracking import mlflow_internals
from trainers.errors import StorageError

Kind = Literal["away", "shut", "refused"]
"""`away`: no answer, or one that says "later"; `shut`: an answer, but not as MLflow gives it to who is let in;
`refused`: this one request is not taken."""
LONGEST_ANSWER = 300
"""Characters of a server's own words that are repeated; the cause is at their beginning."""
LATER = (408, 425, 429)
"""HTTP answers that are no refusals, besides those from 500 on: too slow, too early, too often."""
NOT_LET_IN = (301, 302, 303, 307, 308, 401, 403, 404, 405, 407, 511)
"""HTTP answers that do not depend on what is asked, as a rule."""
WHO_ARE_YOU = (401, 407, 511)
"""Those of them that ask who one is, which no request can do without."""
CODES: dict[Kind, tuple[str, ...]] = {
    "away": (
        *("TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"),
        *("ABORTED", "CANCELLED"),
    ),
    "shut": ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED", "ENDPOINT_NOT_FOUND"),
}
"""Of MLflow's own errors; all others are refusals."""
LOGIN = "check the user and the password: MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD"


@dataclass(frozen=True)
class Trouble:
    """What an error means."""

    kind: Kind
    why: str
    """The whole cause, without passwords."""
    status: int | None = None
    """Of HTTP, where that was the answer."""

    @property
    def said(self) -> str:
        """The cause as the end of a sentence that begins with the server's name."""
        if self.status is not None or self.kind == "shut":
            return f"answers {self.why}"
        return f"does not answer ({self.why})" if self.kind == "away" else f"refuses what it is told: {self.why}"

    @property
    def at_fault(self) -> bool:
        """Whether the server says that it has failed (500): what it can never carry out looks like that too."""
        return self.status == HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def perhaps_of_one_route(self) -> bool:
        """Whether what lets nothing in may be one route of a server that takes all else: uploads are forbidden, say, or
        an older release has no models. Then another request tells."""
        return self.kind == "shut" and self.status not in WHO_ARE_YOU


def trouble(error: BaseException) -> Trouble:
    """What an error of MLflow's client, of its store or of the network means."""
    status, body = mlflow_internals.answer_of(error)
    if status is not None:
        return _answered(status, body)
    chain = list(_chain(error))
    if any(type(one).__name__ == "TooManyRedirects" for one in chain):
        return Trouble("shut", "every request by sending it on to another address, without end")
    if mlflow_internals.is_unanswered(error) or any(isinstance(one, ConnectionError | TimeoutError) for one in chain):
        return Trouble("away", _cause(chain))
    code = getattr(error, "error_code", "")
    kind: Kind = next((kind for kind, codes in CODES.items() if code in codes), "refused")
    return Trouble(kind, f"'{_words(error)}'; {LOGIN}" if kind == "shut" else _words(error))


def stopped(uri: str, error: Exception) -> StorageError:
    """What ends a delivery, or a reading, as one sentence; an error of our own stays as it is."""
    if isinstance(error, StorageError):
        return error
    found = trouble(error)
    later = "; try again later" if found.kind == "away" else ""
    return StorageError(f"MLflow at {without_password(uri)} {found.said}{later}")


def _answered(status: int, body: str) -> Trouble:
    """Of an HTTP answer, as far as it is none that MLflow's client understands."""
    if status == HTTPStatus.OK:
        return Trouble("shut", f"not as MLflow does, but with {_shown(body)}", status)
    known = status in HTTPStatus.__members__.values()
    name = f"{status} ({HTTPStatus(status).phrase})" if known else str(status)
    why = f"{name}: {_shown(body)}" if body.strip() else name
    if status in NOT_LET_IN:
        return Trouble("shut", f"{why}; {LOGIN}" if status in (401, 403) else why, status)
    later = status in LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Trouble("away" if later else "refused", why, status)


def _shown(body: str) -> str:
    """What a server said, in a line: of a page its title, of anything else how it begins."""
    title = re.search(r"<title[^>]*>(.*?)</title>", body, re.IGNORECASE | re.DOTALL)
    if title:
        return f"a page, '{_line(unescape(title[1]))}'"
    return f"a page, '{_line(body)}'" if body.lstrip()[:1] == "<" else f"'{_line(body)}'"


def _words(error: BaseException) -> str:
    """An error's own words, in one line."""
    said = str(error).strip()
    name = "" if mlflow_internals.speaks_for_itself(error) else f"{type(error).__name__}: "
    return name + _line(said.splitlines()[0]) if said else type(error).__name__


def _cause(chain: list[BaseException]) -> str:
    """Why nobody answered: what the operating system said, or else the first error's words."""
    of_system = [one for one in chain if isinstance(one, OSError) and one.__cause__ is None and one.errno]
    said = of_system[-1] if of_system else next((one for one in chain if isinstance(one, TimeoutError)), chain[0])
    return _words(said)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it comes from, the first cause last."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__


def _line(text: str) -> str:
    """A text without line breaks and passwords, and not longer than can be read."""
    line = " ".join(without_password(text).split())
    return line if len(line) <= LONGEST_ANSWER else line[: LONGEST_ANSWER - 1] + "…"
