"""`Words.show` and `ll.show`: what is shown, and what is refused."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explorer_results import decoded, numbers, result_of
from made_up_words import VOCABULARY, image_of, made_up_words
from PIL import Image
from tiny_vlm import tiled_vlm, tiny_vlm

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.images.open import pixel_sha256
from llavit_lens.lens.difference import difference
from llavit_lens.results.words import Words
from llavit_lens.viewer.difference import difference_of_words
from llavit_lens.viewer.payload import words_payload
from llavit_lens.viewer.reading import WordsReading
from llavit_lens.viewer.viewer import SelectedPatch, Viewer


@pytest.fixture(scope="module")
def image() -> Image.Image:
    rng = np.random.default_rng(3)
    return Image.fromarray(rng.integers(0, 255, (90, 120, 3), np.uint8))


@pytest.fixture(scope="module")
def results(image: Image.Image) -> list[Any]:
    return [result_of(tiny_vlm(family), image) for family in ("llava", "llavit")]


def small(**options: Any) -> Words:
    return made_up_words(**{"rows": 4, "columns": 5, "n_layers": 3, "k": 3, **options})


def test_the_payload_of_words_alone_is_the_explorer_s(
    results: list[Any], image: Image.Image, tmp_path: Path
) -> None:
    truth = [{"dog"} if i % 2 else None for i in range(len(results[0].words.layout))]
    loaded = []
    for number, result in enumerate(results):
        for lens in ("words", "similarity"):
            getattr(result, lens).save(tmp_path / f"{number}{lens}.parquet")
        loaded.append(
            WordsReading(
                *(
                    Words.load(tmp_path / f"{number}{lens}.parquet")
                    for lens in ("words", "similarity")
                )
            )
        )
    apart = np.full((len(results[0].words.layers) + 1, len(truth)), 0.5)
    explorer = words_payload(list(zip("ab", results, strict=True)), image, 4, truth, apart)
    assert words_payload(list(zip("ab", loaded, strict=True)), image, 4, truth, apart) == explorer


@pytest.mark.parametrize("arguments", ["method", "function", "two lenses"])
def test_the_view_holds_what_the_lens_read(results: list[Any], arguments: str) -> None:
    words, similarity = results[0].words, results[0].similarity
    viewer = {
        "method": lambda: words.show(),
        "function": lambda: ll.show(words),
        "two lenses": lambda: ll.show(similarity, words),
    }[arguments]()
    assert isinstance(viewer, Viewer)
    (pane,) = viewer.view["panes"]
    strings, values, entropy = decoded(pane)
    first = int(arguments == "two lenses")
    assert len(strings) == len(words.layers) + first
    assert [slot["cosine"] for slot in pane["slots"]] == [True] * first + [False] * len(
        words.layers
    )
    for slot, (ids, read) in enumerate(zip(words.ids, words.values, strict=True), first):
        expected = [[ll_word.strip() for ll_word in row] for row in _texts(words, ids)]
        assert [[text.strip("␣") for text in row] for row in strings[slot].tolist()] == expected
        np.testing.assert_allclose(values[slot], np.maximum(read, -32), atol=3e-4)
        np.testing.assert_allclose(entropy[slot], words.entropy[slot - first], atol=1e-3)
    assert pane["maxEntropy"] == pytest.approx(np.log(len(results[0].trace.unembedding)))


def _texts(words: Words, ids: np.ndarray) -> list[list[str]]:
    from llavit_lens.figures.legible import printable

    return [[printable(words.strings[i]).strip("␣") for i in row] for row in ids.tolist()]


def test_old_files_say_no_size_of_the_vocabulary(tmp_path: Path) -> None:
    words = small()
    assert WordsReading(words).vocabulary == VOCABULARY
    del words.provenance["vocabulary"]
    words.save(tmp_path / "old.parquet")
    old = Words.load(tmp_path / "old.parquet")
    least = WordsReading(old).vocabulary
    assert least >= np.exp(old.entropy.max()) and least > old.ids.max()
    entropy = numbers(old.show(image=words.image).view["panes"][0]["entropy"], "<u2")
    assert entropy.max() <= 65535 and len(np.unique(entropy)) > 10


def test_some_layers_keep_their_numbers_and_the_model_its_depth(image: Image.Image) -> None:
    trace = tiny_vlm("llava").trace(image)
    words = ll.logit_lens(trace, 2, [1])
    (pane,) = words.show().view["panes"]
    assert [slot["short"] for slot in pane["slots"]] == ["1"]
    assert pane["slots"][0]["name"] == f"layer 1 of {trace.n_layers}"
    assert pane["depth"] == trace.n_layers
    assert words.show(layer=1).start["slot"] == 0
    with pytest.raises(ConfigurationError, match="layer 0 is not among those computed: 1"):
        words.show(layer=0)


def test_two_models_are_compared_by_their_words(results: list[Any]) -> None:
    left, right = results
    view = ll.show(left.words, right.words, left.similarity, right.similarity).view
    shown = numbers(view["difference"], "<u2").reshape(len(left.words.layers) + 1, -1) / 65535
    exact = difference(left.words, right.words, left.trace, right.trace)
    rough = difference_of_words(left.words, right.words)
    np.testing.assert_allclose(shown[1:], rough, atol=1e-5)
    # too high by half of what a word outside of the k can have at most
    most = (
        np.exp(left.words.values[..., -1].max()) + np.exp(right.words.values[..., -1].max())
    ) / 2
    assert (rough >= exact - 1e-6).all() and (rough <= exact + most + 1e-6).all()
    assert view["among"] == 6


def test_with_all_words_the_difference_is_exact(image: Image.Image) -> None:
    traces = [tiny_vlm(family).trace(image) for family in ("llava", "llavit")]
    a, b = (ll.logit_lens(trace, len(trace.unembedding)) for trace in traces)
    np.testing.assert_allclose(difference_of_words(a, b), difference(a, b, *traces), atol=1e-5)
    assert difference_of_words(a, a).max() < 1e-6


def test_words_of_tiles_can_stand_beside_words_of_one_grid(image: Image.Image) -> None:
    a = ll.logit_lens(tiled_vlm("llava_next").trace(image), 3)
    b = ll.logit_lens(tiny_vlm("llava").trace(image), 3)
    view = a.show(b).view
    assert len(numbers(view["difference"], "<u2")) == len(a.layers) * len(a.layout)


def test_titles() -> None:
    a, b = small(), small(seed=1)
    assert _titles(ll.show(a, b)) == ["1: made up", "2: made up"]
    assert _titles(ll.show(a, small(seed=1, model="other"))) == ["made up", "other"]
    assert _titles(ll.show(a, b, titles=["as it is", "changed"])) == ["as it is", "changed"]
    for titles in (["one"], 5):
        with pytest.raises(ConfigurationError, match="one text for each of the 2 panes"):
            ll.show(a, b, titles=titles)


def _titles(viewer: Viewer) -> list[str]:
    return [pane["name"] for pane in viewer.view["panes"]]


def test_what_cannot_be_shown_is_refused() -> None:
    words, cosines = small(), small(kind="input_similarity")
    for fault, message in [
        (lambda: ll.show(), "not 0"),
        (lambda: ll.show(words, small(seed=1), small(seed=2)), "not 3"),
        (lambda: ll.show("words"), "not str"),
        (lambda: ll.show(words, small(seed=1), cosines), "do not have the same lenses"),
        (lambda: words.show(made_up_words(5, 5)), "different images"),
        (lambda: words.show(height=10), "240 to 4000"),
        (lambda: words.show(k=4), "1 to 3 for each patch"),
        (lambda: words.show(truth=[None]), "1 entries for 20 patches"),
        (lambda: words.show(image=image_of(5, 4).rotate(180)), "not the one that was read"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            fault()
    words.image = None
    with pytest.raises(ConfigurationError, match="pass it as image="):
        words.show()


def test_many_words_are_bounded_and_the_page_says_so() -> None:
    words = made_up_words(n_layers=27, tiles=4, k=5)
    viewer = words.show()
    assert viewer.view["panes"][0]["k"] == 2
    assert "Of the 5 words of each patch the 2 likeliest" in viewer.view["notes"][0]
    assert len(viewer.to_html()) < 2_000_000
    assert made_up_words(n_layers=28).show().view["panes"][0]["k"] == 5
    assert "notes" not in words.show(k=2).view
    assert words.show(k=5).view["panes"][0]["k"] == 5


def test_an_example_scene_brings_its_truth_and_is_sharper() -> None:
    vlm = ll.load("demo:llavit")
    words = ll.logit_lens(vlm.trace("example:kite-moon"), 2)
    for image in ("example:kite-moon", ll.example("kite-moon")):
        view = words.show(image=image).view
        assert view["size"] == [448, 448] and "112 x 112" in view["notes"][0]
        truth = numbers(view["panes"][0]["truth"], np.uint8).reshape(len(words.layers), -1)
        kite = words.layout.index(6, 3)
        assert words.at(4, 6, 3)[0].word.strip() == "kite" and truth[4, kite] == 2
        assert set(truth.ravel().tolist()) == {0, 1, 2}
    bundle = words.show(image="example:kite-moon")._repr_mimebundle_()
    assert sum(len(part) for part in bundle.values()) < 700_000


def test_a_scene_is_shown_only_of_words_that_were_read_from_it() -> None:
    scene, other = ll.example("kite-moon"), ll.example()
    words = words_of_image(scene.image)
    assert words.show(image=scene).view["size"] == [448, 448]
    for wrong in (other, f"example:{other.name}", replace(scene, image=other.image)):
        for draw in (words.show, words.plot):
            with pytest.raises(ConfigurationError, match="not the one that was read"):
                draw(image=wrong)
    with pytest.raises(ImageError, match="no such example scene"):
        words.show(image="example:")
    # its sharper drawing is of the scene, not of an image that was put in its place
    assert words_of_image(other.image).show(image=replace(scene, image=other.image)).view[
        "size"
    ] == [112, 112]


def test_truth_is_of_the_image_that_was_read() -> None:
    scene, other = ll.example("kite-moon"), ll.example()
    words = words_of_image(scene.image)
    assert words.show(truth=scene).view == words.show(truth=scene.true_words(words.layout)).view
    words.plot(truth=scene)
    for draw in (words.show, words.plot, ll.compare(words, words).plot):
        with pytest.raises(ConfigurationError, match="truth is of another image"):
            draw(truth=other)
        with pytest.raises(ConfigurationError, match="must be a labelled image, or a list"):
            draw(truth=5)


@pytest.mark.parametrize("rows", [4, 16])
def test_a_scene_knows_the_patches_of_any_grid(rows: int) -> None:
    scene = ll.example("kite-moon")
    view = words_of_image(scene.image, rows, 112 // rows).show(image=scene).view
    truth = numbers(view["panes"][0]["truth"], np.uint8)
    assert set(truth.tolist()) >= {0, 1} and len(truth) == 4 * rows * rows


def test_truth_is_told_for_each_pane_by_its_own_patches() -> None:
    scene = ll.example("kite-moon")
    words = words_of_image(scene.image)
    other = words_of_image(scene.image)
    other.layout = replace(other.layout, boxes=other.layout.boxes[::-1])  # as many, elsewhere
    alone = other.show(truth=scene).view["panes"][0]["truth"]
    first, second = words.show(other, truth=scene).view["panes"]
    assert second["truth"] == alone != first["truth"]
    first, second = words.show(other, truth=scene.true_words(words.layout)).view["panes"]
    assert first["truth"] is not None and second["truth"] is None


def words_of_image(image: Image.Image, rows: int = 8, patch: int = 14) -> Words:
    words = small(rows=rows, columns=rows)
    words.layout = replace(
        words.layout, boxes=words.layout.boxes * patch / 14, image_size=image.size
    )
    words.image = image
    words.provenance["image_sha256"] = pixel_sha256(image)
    return words


def test_panes_start_at_layers_at_the_same_share_of_the_depth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = small(n_layers=8), small(n_layers=4, model="other")
    b.entropy[:] = 9
    b.entropy[3] = 1
    drawn = []
    monkeypatch.setattr(
        "llavit_lens.figures.panels.draw_word_panels", lambda rows, *_, **__: drawn.extend(rows)
    )
    viewer = a.show(b)
    assert viewer.start["slot"] == 6
    viewer.still()
    assert [layer for _, [(_, layer)] in drawn] == [6, 3]


def test_vocabularies_that_share_no_id_are_held_together_by_their_texts() -> None:
    a = small()
    b = replace(a, ids=a.ids + 10**6, strings={10**6 + i: text for i, text in a.strings.items()})
    assert difference_of_words(a, b).max() < 1e-6


def test_a_notebook_gets_a_page_on_a_still_image_of_it() -> None:
    viewer = small().show()
    bundle = viewer._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "image/png"}
    assert bundle["text/plain"] == "Viewer(made up: 4 layers, 20 patches)"
    with Image.open(io.BytesIO(bundle["image/png"])) as still:
        assert still.width > 300
    html = bundle["text/html"]
    assert html == viewer._repr_html_()
    page = unescape(re.search("srcdoc='([^']*)'", html)[1])
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert 'sandbox="allow-scripts"' in html and "height: 640px" in html
    assert html.index("data:image/png") < html.index("<iframe")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert data["still"] == json.loads(json.dumps(viewer.view))


def test_a_view_is_saved_as_a_page(tmp_path: Path) -> None:
    viewer = small().show()
    viewer.save(tmp_path / "view.html")
    assert (tmp_path / "view.html").read_text("utf-8") == viewer.to_html()
    assert "<h1>" in viewer.to_html()
    for path in (tmp_path / "view.png", None):
        with pytest.raises(ConfigurationError, match=r"name it view\.html"):
            viewer.save(path)
    with pytest.raises(ConfigurationError, match="cannot write"):
        viewer.save(tmp_path / "none" / "view.html")


def test_a_click_comes_back_only_from_a_live_view(monkeypatch: pytest.MonkeyPatch) -> None:
    words = small()
    with pytest.raises(ConfigurationError, match="live=True"):
        _ = words.show().selected
    monkeypatch.setattr("llavit_lens.viewer.show.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install '.\[notebook\]'"):
        words.show(live=True)


def test_the_trait_is_what_is_selected() -> None:
    pytest.importorskip("anywidget", reason="needs anywidget")
    words = small()
    viewer = words.show(live=True, layer=2)
    first = viewer.selected
    assert isinstance(first, SelectedPatch) and first.layer == 2
    assert words.at(*first)  # what was pinned at first
    seen = []
    viewer.widget.observe(lambda change: seen.append(change.new), "selected")
    viewer.widget.set_state({"selected": [3, 1, 4, 0]})
    assert viewer.selected == (3, 1, 4, 0) and viewer.selected.col == 4
    assert seen == [[3, 1, 4, 0]]
    viewer.widget.set_state({"selected": None})
    assert viewer.selected is None
    data, _ = viewer._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "text/html", "image/png"} <= set(data)
