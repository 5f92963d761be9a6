"""Visitors' images: decoded one at a time, scaled once, bounded, and gone with their session."""

import gc
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from llavit_lens.errors import ImageError
from llavit_lens.explorer import pictures
from llavit_lens.explorer.pictures import LOCAL, PUBLIC, Limits, uploaded
from llavit_lens.explorer.shelf import Shelf
from llavit_lens.images import open as images


def png(width, height):
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 9).convert("RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def test_a_local_image_is_what_it_was():
    picture = uploaded(png(1500, 90), "x", LOCAL)
    assert picture.image.size == (1500, 90) and picture.nbytes == 4 * 1500 * 90


def test_a_public_image_is_scaled_down_once():
    picture = uploaded(png(1500, 90), "x", PUBLIC)
    assert picture.image.size == (1280, 77) and picture.image is picture.shown
    assert picture.nbytes == 4 * 1280 * 77
    assert uploaded(png(9, 7), "x", PUBLIC).image.size == (9, 7)


def test_what_is_too_large_is_not_decoded(monkeypatch):
    data = png(40, 30)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=r"x\.png: 40 x 30 pixels are more than the limit of 1000"):
        uploaded(data, "x.png", Limits(len(data), 1000))
    with pytest.raises(ImageError, match="MB are more than the limit"):
        uploaded(data, "x.png", Limits(len(data) - 1, 10_000))


def test_one_image_is_decoded_at_a_time(monkeypatch):
    busy, most, real = set(), [0], images.open_image

    def opened(*args, **options):
        busy.add(threading.get_ident())
        most[0] = max(most[0], len(busy))
        try:
            return real(*args, **options)
        finally:
            busy.discard(threading.get_ident())

    monkeypatch.setattr(images, "open_image", opened)
    data = png(300, 300)
    with ThreadPoolExecutor(8) as visitors:
        sizes = {p.image.size for p in visitors.map(lambda _: uploaded(data), range(24))}
    assert sizes == {(300, 300)} and most == [1]


def test_who_waits_too_long_is_told_so(monkeypatch):
    going_on = threading.Event()
    monkeypatch.setattr(pictures, "PATIENCE", 0.05)
    blocker = pictures._DECODER.submit(going_on.wait, 60)
    try:
        with pytest.raises(ImageError, match=r"x\.png: many images are being read"):
            uploaded(png(9, 9), "x.png")
    finally:
        going_on.set()
        blocker.result(60)


def test_images_make_room_in_the_order_of_their_use():
    one, two, three = (uploaded(png(100, 10), "x") for _ in range(3))
    shelf = Shelf(most_bytes=2 * one.nbytes)
    first, second = shelf.put(one), shelf.put(two)
    assert shelf.get(first) is one  # so the second is the one not used for longest
    third = shelf.put(three)
    assert shelf.get(first) is one and shelf.get(third) is three
    with pytest.raises(ImageError, match="make room"):
        shelf.get(second)
    assert shelf.nbytes == shelf.most_bytes


def test_the_newest_stays_whatever_its_size():
    shelf = Shelf(most_bytes=1)
    first = shelf.put(uploaded(png(10, 10)))
    second = shelf.put(uploaded(png(10, 10)))
    assert first.picture is None and shelf.get(second).image.size == (10, 10)


def test_an_image_goes_with_its_session():
    shelf = Shelf()
    session = {"own": shelf.put(uploaded(png(10, 10)))}
    assert shelf.nbytes == 400
    session.clear()
    gc.collect()
    assert shelf.nbytes == 0
