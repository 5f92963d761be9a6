"""The contact sheet as a figure: what stands where, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_hits import GONE, made_hits, opener_of, painted
from matplotlib.figure import Figure
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.contact_sheet import draw_contact_sheet
from llavit_lens.figures.hit_texts import heading, hit_texts

IMAGES = opener_of({n: painted(8, 14, n) for n in (0, 1, 2)})


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_a_tile_is_two_images_and_three_lines() -> None:
    hits = made_hits([(0, 2, 5), (1, 0, 0), (9, 1, 1)], total=7)
    figure = draw_contact_sheet(hits, images=IMAGES)
    said = texts(figure)
    assert said[0] == "Where “dog” is read"
    assert said[1] == "In 7 patches of 30 images: the 3 best. Model: demo:llavit. Lens: logit lens."
    assert said[2:6] == ["dog", "90.0%", "layer 0, row 2, column 5", "folder/0.png"]
    assert said[6:10] == ["dog", "81.0%", "layer 1, row 0, column 0", "folder/1.png"]
    assert " ".join(said[10].split()) == GONE
    assert len(figure.axes) == 4  # two of each that is there
    whole, near = figure.axes[:2]
    x, y, width, height = whole.patches[0].get_bbox().bounds
    left, top = (edge / (14 * 8) * whole.get_xlim()[1] for edge in (14 * 5, 14 * 2))
    assert (x + width / 2, y + height / 2) == pytest.approx(
        (left + width / 2, top + height / 2), abs=0.03
    )
    assert len(near.patches) == 2
    assert near.get_position().x0 > whole.get_position().x1
    assert figure.title == said[0] and "left the image with the patch marked" in figure.caption


@pytest.mark.parametrize("number", [1, 7, 40])
def test_nothing_overlaps_and_nothing_leaves_the_page(number: int) -> None:
    places = [(n % 4, n % 8, n // 8) for n in range(number)]
    hits = made_hits(places, source="a very long folder/" * 6 + "深 image.jpg", token="x" * 60)
    figure = draw_contact_sheet(hits, images=IMAGES)
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in figure.texts] + [a.bbox for a in figure.axes]
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other.padded(-1)) for other in boxes[place + 1 :])


def test_the_best_come_first_and_as_many_as_asked_for() -> None:
    hits = made_hits([(0, n, n) for n in range(8)])
    figure = draw_contact_sheet(hits, most=3, columns=2, images=IMAGES)
    assert len(figure.axes) == 6 and "90.0%" in texts(figure) and "65.6%" not in texts(figure)
    tops = [axes.get_position().y1 for axes in figure.axes]
    assert tops[0] == tops[3] > tops[4]
    for bad in ({"most": 0}, {"most": 201}, {"most": 2.5}, {"columns": 0}):
        with pytest.raises(ConfigurationError):
            draw_contact_sheet(hits, images=IMAGES, **bad)


def test_what_a_sheet_of_no_hits_says() -> None:
    hits = made_hits([], note="“xyz” is no word of this model.")
    said = texts(draw_contact_sheet(hits, images=IMAGES))
    assert said[1].startswith("Nowhere in 30 images. Model: demo:llavit.")
    assert said[1].replace("\n", " ").endswith("“xyz” is no word of this model.")


def test_texts() -> None:
    hits = made_hits([(0, 1, 2), (1, 3, 4)], rank=[0, 2], tile=[0, 3], token=["\n", " Dog"])
    one, two = hit_texts(hits, 5)
    assert one == (r"\n", "90.0%", "layer 0, row 1, column 2", "folder/0.png")
    assert two == ("Dog", "81.0%", "layer 1, row 3, column 4, tile 3, 3rd word", "folder/1.png")
    cosine = made_hits([(4, 0, 0)], lens="input_similarity", source=None)
    object.__setattr__(cosine, "table", cosine.table.rename(columns={"probability": "cosine"}))
    assert hit_texts(cosine, 1)[0][1:] == ("0.900", "layer 0, row 0, column 0", "image 4")
    assert heading(made_hits([(0, 0, 0)], n_images=1, n_listed=9, per="layer"), 1)[1].startswith(
        "In one patch at one layer of 1 image (of 9 in the list). Model:"
    )


def test_a_sheet_is_a_file(tmp_path: Path) -> None:
    hits = made_hits([(0, 1, 1), (7, 2, 2)])
    hits.sheet(tmp_path / "dog.png", images=IMAGES)
    with Image.open(tmp_path / "dog.png") as image:
        assert image.text["Title"] == "Where “dog” is read"  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=r"x\.jpg: a contact sheet is written as \.png"):
        hits.sheet(tmp_path / "x.jpg", images=IMAGES)
    with pytest.raises(ConfigurationError, match="there is no such index"):
        hits.sheet(tmp_path / "y.png")
    assert [file.name for file in tmp_path.iterdir()] == ["dog.png"]


def test_a_notebook_shows_a_small_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    hits = made_hits([(0, n % 8, n // 8) for n in range(20)], note="A note.")
    monkeypatch.setattr("llavit_lens.figures.contact_sheet.opener_of", lambda *_: IMAGES)
    html = hits._repr_html_()
    assert html.count("<img") == 1 and "A note." in html and len(html) < 450_000
    assert "the 8 best" in hits._figure().texts[1].get_text()
    monkeypatch.undo()
    assert "There is no figure" in hits._repr_html_()  # no such index
    assert "<img" not in made_hits([])._repr_html_()
