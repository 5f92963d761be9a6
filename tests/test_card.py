"""Cards of a notebook: small, escaped, and readable on any background."""

from __future__ import annotations

import io
import re
from base64 import b64decode

import numpy as np
import pandas as pd
from PIL import Image

from llavit_lens.card import MOST_CHARACTERS, card, facts, picture, remark, table, to_type

HOSTILE = "</pre><script>alert('&amp;\"')</script>"


def image_in(html: str) -> Image.Image:
    """The one image of a card."""
    (data,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', html)
    return Image.open(io.BytesIO(b64decode(data)))


def test_no_text_becomes_markup() -> None:
    frame = pd.DataFrame({HOSTILE: [HOSTILE]}, index=[HOSTILE])
    parts = remark(HOSTILE), facts({HOSTILE: HOSTILE}), to_type({HOSTILE: HOSTILE}), table(frame)
    html = card(HOSTILE, *parts)
    assert "<script" not in html and html.count("&lt;script&gt;") == 9
    assert html.count("</pre>") == 1


def test_no_color_is_set_so_that_a_dark_notebook_can_be_read() -> None:
    html = card("title", remark("r"), facts({"a": 1}), to_type({"x": "y"}), picture(new_image()))
    assert not re.search(r"color|background|<style|class=", html)


def new_image(side: int = 50) -> Image.Image:
    return Image.new("RGB", (side, side), "red")


def test_an_image_is_as_wide_as_asked_and_not_larger_than_it_is() -> None:
    small, large = picture(new_image(50), 300), picture(new_image(2000), 300)
    assert 'width="300"' in small and 'width="300"' in large
    assert image_in(small).size == (50, 50) and image_in(large).size == (600, 600)


def test_the_worst_image_is_kept_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), dtype=np.uint8)
    html = picture(Image.fromarray(noise), 800)
    assert len(html) < MOST_CHARACTERS + 200 and 'width="800"' in html
    assert image_in(html).width < 1600


def test_transparent_and_gray_images_are_shown() -> None:
    for mode in ("L", "RGBA", "P", "1"):
        assert image_in(picture(Image.new(mode, (9, 9)))).size == (9, 9)


def test_a_table_is_cut() -> None:
    html = table(pd.DataFrame(np.zeros((500, 50))))
    assert html.count("<tr") <= 13 and "500 rows" in html and len(html) < 8000
