"""What a user does changes the session."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from llavit_lens.explorer import component, own_image, session
from llavit_lens.explorer.input_image import PUBLIC as PUBLIC_LIMITS
from llavit_lens.explorer.view import OWN, UNPINNED
from llavit_lens.miniature.world.scenes import FIRST_EXAMPLE, example_names

CHOICE = {"slot": 3, "pin": 12, "color": "entropy", "scale": "layer", "labels": "off"}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"pin": None},
        {"slot": "3"},
        {"slot": True, "pin": None},
        {"pin": -1},
        {"slot": 10**9},
        {"color": "<b>"},
        {"color": []},
        {"scale": "linear"},
        {"labels": None},
        {"labels": {}},
        None,
    ],
)
def test_what_the_browser_sends_is_checked(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any] | None
) -> None:
    before = {"layer": None, "patch": None, "color": "probability", "scale": "", "labels": ""}
    values = dict(before)
    monkeypatch.setattr(session.st, "session_state", values)
    monkeypatch.setattr(
        component, "choice", lambda: {} if changed is None else {**CHOICE, **changed}
    )
    session.on_view_change()
    if changed in ({}, {"pin": None}):
        patch = UNPINNED if changed else 12
        assert values == {
            "layer": 2, "patch": patch, "color": "entropy", "scale": "layer", "labels": "off",
        }  # fmt: skip
    else:
        assert values == before


def test_blanks_around_a_typed_folder_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"model": " /a/folder ", session.PENDING: {"model": "/of/the/link"}}
    monkeypatch.setattr(session.st, "session_state", values)
    session.on_model_change("model")
    assert values == {"model": "/a/folder", session.PENDING: {}, "patch": None}


class _File(io.BytesIO):
    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(data)
        self.name = name


def test_a_bad_upload_leaves_the_good_picture_and_says_which_file(
    monkeypatch: pytest.MonkeyPatch, image: Image.Image
) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    values = {"picture": example_names()[2], "patch": 3, session.WARNINGS: []}
    monkeypatch.setattr(session.st, "session_state", values)

    def upload(file: _File | None) -> None:
        values["upload"] = file
        own_image.on_upload(PUBLIC_LIMITS)

    upload(_File("bad.png", b"no picture"))
    assert values["picture"] == example_names()[2] and values["patch"] == 3
    assert values[own_image.UPLOAD_FAULT].startswith("bad.png: not an image")
    upload(None)
    assert values["picture"] == example_names()[2] and own_image.UPLOAD_FAULT not in values
    upload(_File("good.png", buffer.getvalue()))
    assert values["picture"] == OWN and values["patch"] is None
    upload(None)  # a browser that replaces a file takes the first one out
    upload(_File("bad.png", b"no picture"))
    assert values["picture"] == OWN and own_image.own_image().pixels.size == image.size
    upload(None)
    upload(_File("good.png", buffer.getvalue()))
    upload(None)
    assert values["picture"] == FIRST_EXAMPLE and values.get(own_image.OWN_IMAGE) is None
