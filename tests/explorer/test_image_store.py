"""Visitors' images: decoded one at a time, scaled once, bounded, and gone with their session."""

from __future__ import annotations

import gc
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image

from llavit_lens.errors import ImageError
from llavit_lens.explorer import input_image
from llavit_lens.explorer.image_store import ImageStore
from llavit_lens.explorer.input_image import LOCAL, PUBLIC, Limits, uploaded_image
from llavit_lens.images import open as images


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 9).convert("RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def test_a_local_image_is_what_it_was() -> None:
    image = uploaded_image(png(1500, 90), "x", LOCAL)
    assert image.pixels.size == (1500, 90) and image.nbytes == 4 * 1500 * 90


def test_a_public_image_is_scaled_down_once() -> None:
    image = uploaded_image(png(1500, 90), "x", PUBLIC)
    assert image.pixels.size == (1280, 77) and image.pixels is image.display
    assert image.nbytes == 4 * 1280 * 77
    assert uploaded_image(png(9, 7), "x", PUBLIC).pixels.size == (9, 7)


def test_what_is_too_large_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png(40, 30)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=r"x\.png: 40 x 30 pixels are more than the limit of 1000"):
        uploaded_image(data, "x.png", Limits(len(data), 1000))
    with pytest.raises(ImageError, match="MB are more than the limit"):
        uploaded_image(data, "x.png", Limits(len(data) - 1, 10_000))


def test_one_image_is_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, most, real = set(), [0], images.open_image

    def opened(*args: Any, **options: Any) -> Image.Image:
        busy.add(threading.get_ident())
        most[0] = max(most[0], len(busy))
        try:
            return real(*args, **options)
        finally:
            busy.discard(threading.get_ident())

    monkeypatch.setattr(images, "open_image", opened)
    data = png(300, 300)
    with ThreadPoolExecutor(8) as visitors:
        sizes = {p.pixels.size for p in visitors.map(lambda _: uploaded_image(data), range(24))}
    assert sizes == {(300, 300)} and most == [1]


def test_who_waits_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    going_on = threading.Event()
    monkeypatch.setattr(input_image, "PATIENCE", 0.05)
    blocker = input_image._DECODER.submit(going_on.wait, 60)
    try:
        with pytest.raises(ImageError, match=r"x\.png: many images are being read"):
            uploaded_image(png(9, 9), "x.png")
    finally:
        going_on.set()
        blocker.result(60)


def test_images_make_room_in_the_order_of_their_use() -> None:
    one, two, three = (uploaded_image(png(100, 10), "x") for _ in range(3))
    store = ImageStore(most_bytes=2 * one.nbytes)
    first, second = store.put(one), store.put(two)
    assert store.get(first) is one  # so the second is the one not used for longest
    third = store.put(three)
    assert store.get(first) is one and store.get(third) is three
    with pytest.raises(ImageError, match="make room"):
        store.get(second)
    assert store.nbytes == store.most_bytes


def test_the_newest_stays_whatever_its_size() -> None:
    store = ImageStore(most_bytes=1)
    first = store.put(uploaded_image(png(10, 10)))
    second = store.put(uploaded_image(png(10, 10)))
    assert first.image is None and store.get(second).pixels.size == (10, 10)


@pytest.mark.long
def test_an_image_goes_with_its_session() -> None:
    store = ImageStore()
    session = {"own": store.put(uploaded_image(png(10, 10)))}
    assert store.nbytes == 400
    session.clear()
    gc.collect()
    assert store.nbytes == 0
