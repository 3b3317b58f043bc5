"""A section of the report's page."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.report.markup import Markup, element, joined


@dataclass(frozen=True)
class Section:
    """One heading of the page with what stands below it."""

    anchor: str
    title: str
    content: Markup

    @property
    def markup(self) -> Markup:
        """A ``section`` that its anchor leads to."""
        link = element("a", "#", href=f"#{self.anchor}", class_="anchor", aria_label=f"Link to {self.title}")
        return element("section", joined([element("h2", self.title, " ", link), self.content]), id=self.anchor)
