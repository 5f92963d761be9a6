"""What the page sends to the view in the browser, and what it makes of the answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llavit_lens.explorer import component
from llavit_lens.explorer.encoded_payload import EncodedPayload

ONE, TWO = EncodedPayload("one", b"{}"), EncodedPayload("two", b"{}")


def start(pin: int | None, slot: int = 1) -> dict[str, Any]:
    return {"slot": slot, "pin": pin, "color": "probability", "scale": "", "labels": ""}


class Page:
    """The page's two components, and what they were sent."""

    def __init__(self) -> None:
        self.session, self.words, self.moving = {}, None, None

    def show(self, words: EncodedPayload, pin: int | None, search: Any = None, **where: Any) -> int:
        component.show_view(words, start(pin, **where), search, print)
        return self.moving["turn"]

    def choose(self, pin: int | None, turn: int, **where: Any) -> None:
        """A person pins a patch in the view of that turn."""
        self.session[component.KEY] = {"view": {**start(pin, **where), "turn": turn}}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page()
    monkeypatch.setattr(component.st, "session_state", page.session)
    monkeypatch.setattr(component, "_view", lambda data, **_: setattr(page, "words", data))
    monkeypatch.setattr(component, "_moving", lambda data, **_: setattr(page, "moving", data))
    return page


def test_a_choice_sends_nothing_new(page: Page) -> None:
    turn = page.show(ONE, 5)
    sent = page.words, json.dumps(page.moving)
    for pin in (7, None, 8):
        page.choose(pin, turn)
        assert page.show(ONE, pin) == turn
        assert (page.words, json.dumps(page.moving)) == sent


def test_a_pin_that_the_page_took_away_is_not_kept(page: Page) -> None:
    turn = page.show(ONE, 5)
    page.choose(7, turn)
    assert page.show(ONE, 7) == turn
    reset = page.show(ONE, 5)  # the words stay the same, but the patch is the page's choice again
    assert reset > turn and page.moving["start"] == start(5)
    assert page.show(ONE, 5) == reset
    assert component.choice() == {}  # what was chosen before does not count any more
    page.choose(6, reset)
    assert page.show(ONE, 6) == reset


def test_other_words_start_anew(page: Page) -> None:
    turn = page.show(ONE, 5)
    page.choose(7, turn)
    assert page.show(TWO, 7) > turn and page.moving["identity"] == "two"
    assert page.moving["start"] == start(7)
    assert page.show(ONE, 7) > turn + 1


def test_a_layer_that_was_corrected_is_shown(page: Page) -> None:
    turn = page.show(ONE, 5)
    page.choose(5, turn, slot=9)
    assert page.show(ONE, 5, slot=4) > turn and page.moving["start"] == start(5, slot=4)


def test_a_search_leaves_the_words_where_they_are(page: Page) -> None:
    turn = page.show(ONE, 5)
    words = page.words
    assert page.show(ONE, 5, {"word": "sky", "panes": []}) == turn
    assert page.words == words and page.moving["search"]["word"] == "sky"
    assert words == b"one\n{}"


@pytest.mark.parametrize("said", [None, "x", {}, {"view": 3}, {"view": {**start(3), "turn": 99}}])
def test_what_makes_no_sense_is_no_choice(page: Page, said: Any) -> None:
    page.show(ONE, 5)
    page.session[component.KEY] = said if isinstance(said, dict) else {"view": said}
    assert component.choice() == {}


def test_a_pasted_text_that_is_too_long_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"picture": "data:image/png;base64," + "A" * 4000}
    monkeypatch.setattr(component.st, "session_state", {component.PASTE_KEY: asked})
    assert component.pasted_bytes() == bytes(3000)
    monkeypatch.setattr(component, "MOST_PASTED", 2000)
    assert component.pasted_bytes() == b""
