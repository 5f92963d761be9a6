"""Words of several models, side by side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.results.words import Words

MakeWords = Callable[..., Words]


def panels(figure: object) -> list[object]:
    axes = figure.axes  # type: ignore[attr-defined]
    return [ax for ax in axes if any(isinstance(c, PolyCollection) for c in ax.collections)]


def test_rows_are_models_and_columns_layers_at_the_same_share_of_the_depth(
    make_words: MakeWords,
) -> None:
    a, b = make_words(layers=(0, 3, 6)), make_words(layers=(0, 6, 12), depth=12)
    both = ll.compare(a, b, names=["small", "large"])
    figure = both.plot(layer=[0, 3, -1], title="two")
    said = [text.get_text() for text in figure.texts]
    assert "layer 3 of 6" in said and "layer 6 of 12" in said
    assert said.index("small") < said.index("layer 3 of 6") < said.index("large")
    assert "two" in said and len(panels(figure)) == 6
    assert len(panels(ll.compare(a, b, a).plot(layer="all"))) == 9
    assert both.layer_of(1, 3) == 6 and both.layer_of(0, -1) == 6
    with pytest.raises(ConfigurationError, match="layer 6 is not among those computed"):
        ll.compare(a, make_words(layers=(0,), depth=12)).plot(layer=3)


def test_one_line_tells_models_apart(make_words: MakeWords) -> None:
    words = make_words()
    assert repr(ll.compare(words, words)) == (
        "Comparison(logit_lens of some_model$ (1), some_model$ (2); 3 layers x 16 visual tokens)"
    )


def test_the_table_says_where_they_differ(make_words: MakeWords) -> None:
    a, b = make_words(["dog", "sky", "sun", "sea"], k=2), make_words(["dog", "sky", "sun", "sea"])
    b.ids[1, 5] = [0, 1, 3]  # a: sky, sun
    b.values[1, 5, 0] = np.log(0.9)
    table = ll.compare(a, b).to_pandas()
    assert len(table) == 3 * 16 and table["same"].sum() == 47
    (row,) = table[~table["same"]].to_dict("records")
    assert (row["layer"], row["other_layer"], row["row"], row["col"]) == (3, 3, 1, 1)
    assert (row["word"], row["other_word"]) == ("sky", "dog")
    assert row["probability"] == pytest.approx(0.5) and row["other_probability"] == pytest.approx(
        0.9
    )
    assert row["shared"] == 0.5  # of the two best words, sky
    assert (table.loc[table["same"], "shared"] == 1).all()


def test_a_finer_grid_is_held_against_the_nearest_patch(make_words: MakeWords) -> None:
    fine, coarse = make_words(["dog"], grid=(8, 8)), make_words(["dog", "sky"], grid=(2, 2))
    table = ll.compare(fine, coarse).to_pandas().query("layer == 0")
    assert len(table) == 64
    assert (table["same"] == (table["col"] < 4)).all()


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        ({"kind": "input_similarity"}, "cannot be held against"),
        ({"size": (32, 32)}, "different images"),
    ],
)
def test_what_cannot_be_compared(
    other: dict[str, object], fault: str, make_words: MakeWords
) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        ll.compare(make_words(), make_words(**other))


def test_words_of_two_images_are_refused(make_words: MakeWords) -> None:
    a, b = make_words(), make_words()
    a.provenance["image_sha256"], b.provenance["image_sha256"] = "0" * 64, "1" * 64
    with pytest.raises(ConfigurationError, match="read from different images"):
        ll.compare(a, b)


def test_one_alone_is_refused(make_words: MakeWords) -> None:
    with pytest.raises(ConfigurationError, match="two Words or more"):
        ll.compare(make_words())
    with pytest.raises(ConfigurationError, match="two Words or more"):
        ll.compare(make_words(), "demo:llavit")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="2 different names"):
        ll.compare(make_words(), make_words(), names=["a", "a"])


@pytest.mark.parametrize("names", [5, "ab", ["a"], ["a", "a"], [1, "1"]])
def test_names_that_do_not_fit(make_words: MakeWords, names: object) -> None:
    words = make_words()
    with pytest.raises(ConfigurationError, match="names must be 2 different names"):
        ll.compare(words, words, names=names)  # type: ignore[arg-type]
