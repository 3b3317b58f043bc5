"""Listings that MLflow gives in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item", covariant=True)


class Page(Protocol[Item]):
    """A part of a listing: what MLflow's `PagedList` is."""

    @property
    def token(self) -> str | None:
        """Of the page that follows; empty or None of the last."""

    def __iter__(self) -> Iterator[Item]: ...


def pages(fetch: Callable[[str | None], Page[Item]]) -> Iterator[Item]:
    """The items of all pages; a page is fetched when all items of the one before it were taken.

    Args:
        fetch: gives the page of a token, and the first for None.
    """
    token = None
    while True:
        page = fetch(token)
        yield from page
        token = page.token
        if not token:
            return
