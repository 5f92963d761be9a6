"""The explorer's page in Streamlit's AppTest: its script runs as a whole, without a browser."""

from __future__ import annotations

from typing import Any, NamedTuple

from streamlit.testing.v1 import AppTest

from llavit_lens.explorer import marks
from llavit_lens.explorer.encoded_payload import EncodedPayload

SECONDS = 120
PUBLIC = "from llavit_lens.explorer.page import main; main(['--public', '--model', 'owner/name'])"
"""The script of a public page."""


class ShownView(NamedTuple):
    """What a run of the page sent to the view in the browser."""

    words: EncodedPayload
    start: dict[str, Any]
    search: dict[str, Any] | None

    @property
    def panes(self) -> list[dict[str, Any]]:
        return self.words.payload()["panes"]

    @property
    def names(self) -> list[str]:
        return [pane["name"] for pane in self.panes]


def link_of(page: AppTest) -> dict[str, str]:
    """Query parameters, which AppTest gives as they were set: as text or as lists of it."""
    given = page.query_params.items()
    return {name: value[-1] if isinstance(value, list) else value for name, value in given}


def answers_of(page: AppTest) -> list[str]:
    """The answers of the models, marked or not, from top to bottom."""
    return [element.value for element in page.main if is_answer(element)]


def is_answer(element: Any) -> bool:
    """Whether an element of the page is a model's answer."""
    tips = (marks.MARKED, marks.NOT_COVERED, marks.UNKNOWN)
    return getattr(getattr(element, "proto", None), "help", "") in tips
