"""Lets into MLflow's server only those who have its token: `sweep ui` starts the server through :func:`main`.

A port of 127.0.0.1 is open to every account of the machine, and MLflow asks nobody who he is: whoever reaches it can
delete experiments. So each request must show the token, in one of three ways:

- the link that `sweep ui` prints, ``/?token=…``, sets a cookie and leads on to the same address without the token;
- that cookie, as browsers send it from then on;
- ``Authorization: Bearer …``, as MLflow's client sends it where ``MLFLOW_TRACKING_TOKEN`` is set.

What is used of MLflow that it does not promise is in :mod:`sweep.tracking.mlflow_internals`;
``tests/sweep/tracking/test_guard.py`` holds the installed release to that.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sweep.tracking.mlflow_internals import APPLICATION, application, change_server_command

TOKEN = "SWEEP_UI_TOKEN"
"""The variable that the token travels to the server in; the environment of a process is its user's alone to read."""
PARAMETER = "token"
"""Of the link."""
HEALTH = "/health"
"""Answers everybody, with the word OK."""
REFUSAL = b"This page opens with the link alone that `sweep ui` has printed: http://.../?token=...\n"
GUARDED = "kd_sweep.server:guarded"
"""Not by its place here: uvicorn looks for it in the folder that it is started in before any other."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application that asks for a token before it hands a request on to another.

    Args:
        application: is handed what shows the token.
        token: of letters, digits, ``-`` and ``_``.
    """

    def __init__(self, application: Application, token: str) -> None:
        self._application, self._token = application, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] == "lifespan" or scope["path"] == HEALTH:
            await self._application(scope, receive, send)
        elif scope["type"] == "http" and self._is_invited(scope):
            await _answer(send, 303, [(b"location", _without_token(scope)), (b"set-cookie", self._cookie(scope))])
        elif self._is_known(scope):
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _answer(send, 403, [(b"content-type", b"text/plain; charset=utf-8")], REFUSAL)

    def _is_invited(self, scope: Scope) -> bool:
        return any(name == PARAMETER and self._is_token(value) for name, value in _query(scope))

    def _is_known(self, scope: Scope) -> bool:
        kind, _, value = _header(scope, b"authorization").partition(" ")
        if kind.lower() == "bearer" and self._is_token(value.strip()):
            return True
        try:
            cookies = SimpleCookie(_header(scope, b"cookie"))
        except CookieError:
            return False
        name = _cookie_name(scope)
        return name in cookies and self._is_token(cookies[name].value)

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())

    def _cookie(self, scope: Scope) -> bytes:
        """For this browser, until it is closed; scripts and other sites' forms cannot use it."""
        return f"{_cookie_name(scope)}={self._token}; Path=/; HttpOnly; SameSite=Lax".encode()


def _cookie_name(scope: Scope) -> str:
    """Of the port, since browsers do not keep a machine's ports apart."""
    return f"sweep-ui-{scope['server'][1]}"


def _header(scope: Scope, name: bytes) -> str:
    found = [value for key, value in scope["headers"] if key == name]
    return b"; ".join(found).decode("latin-1")


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _without_token(scope: Scope) -> bytes:
    """The address that was asked for, on this server whatever it says; browsers keep what stands behind ``#``."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    path = raw.decode("latin-1")
    rest = urlencode([(name, value) for name, value in _query(scope) if name != PARAMETER])
    return ("/" + path.lstrip("/\\") + (f"?{rest}" if rest else "")).encode("latin-1")


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    kept_nowhere = [(b"cache-control", b"no-store"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *kept_nowhere]})
    await send({"type": "http.response.body", "body": body})


def guarded() -> Guard:
    """MLflow's application behind the guard, for uvicorn."""
    return Guard(application(), os.environ[TOKEN])


def guarded_command(command: list[str]) -> list[str]:
    """Uvicorn's command line for MLflow's application, as one for the guarded one.

    Raises:
        RuntimeError: for a command line that is not the one that was read; nothing is served unguarded.
    """
    if command[-1] != APPLICATION:
        raise RuntimeError(f"MLflow would serve {command[-1]}, not {APPLICATION}: this release cannot be guarded")
    return [*command[:-1], "--factory", GUARDED]


def main() -> None:
    """``mlflow`` with its arguments; a server that it starts is guarded."""
    from mlflow.cli import cli

    change_server_command(guarded_command)
    cli(prog_name="mlflow")
