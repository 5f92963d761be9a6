"""The result of a lens: looked up, as a table, saved and loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_image
from tiny_vlm import FAMILIES, LAYERS, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.results.words import Tracked, Words
from llavit_lens.vlm.trace import Trace


@pytest.fixture(scope="module", params=FAMILIES)
def trace(request: pytest.FixtureRequest) -> Trace:
    return tiny_vlm(request.param).trace(tiny_image())


def made_words(
    kind: str = "logit_lens",
    layers: tuple[int, ...] = (0, 2, 5),
    grids: tuple[tuple[int, int], ...] = ((2, 3),),
    k: int = 2,
    texts: tuple[str, ...] = ("a", " b", "\n"),
    n_tracked: int | None = None,
    seed: int = 0,
) -> Words:
    """Words of arbitrary shape and text, without a model."""
    rng = np.random.default_rng(seed)
    cells = [
        (t, r, c) for t, grid in enumerate(grids) for r in range(grid[0]) for c in range(grid[1])
    ]
    tile, row, col = (np.array(axis, np.int64) for axis in zip(*cells, strict=True))
    n, lens = len(cells), kind == "logit_lens"
    layout = VisualLayout(
        positions=np.arange(3, 3 + n),
        tile=tile,
        row=row,
        col=col,
        grid=grids,
        image_size=(40, 30),
        boxes=np.sort(rng.random((n, 2, 2)) * 30, axis=1).reshape(n, 4),
    )
    tracked = None
    if n_tracked is not None:
        tracked = Tracked(
            words=[texts[i % len(texts)] for i in range(n_tracked)],
            ids=np.arange(n_tracked) % len(texts),
            values=-rng.random((len(layers), n, n_tracked)).astype(np.float32),
            ranks=rng.integers(0, 99, (len(layers), n, n_tracked)),
        )
    values = -np.sort(rng.random((len(layers), n, k)).astype(np.float32), axis=2)
    return Words(
        kind=kind,  # type: ignore[arg-type]
        layers=list(layers),
        ids=rng.integers(0, len(texts), (len(layers), n, k)),
        values=values,
        logsumexp=rng.normal(size=(len(layers), n)).astype(np.float32) if lens else None,
        entropy=rng.random((len(layers), n)).astype(np.float32) if lens else None,
        strings=dict(enumerate(texts)),
        layout=layout,
        provenance={
            "model": "m",
            "revision": None,
            "n_layers": max(layers),
            "prompt": "What is in the picture?",
            "image_sha256": "0123456789ab" + "0" * 52,
            "versions": {"torch": "2"},
        },
        tracked=tracked,
    )


def test_at(trace: Trace) -> None:
    words = logit_lens(trace, k=3)
    found = words.at(layer=2, row=1, col=3)
    patch = 1 * 4 + 3
    assert [word.id for word in found] == words.ids[2, patch].tolist()
    assert [word.value for word in found] == words.values[2, patch].tolist()
    assert [word.word for word in found] == [words.strings[word.id] for word in found]
    assert all(word.probability == pytest.approx(np.exp(word.value)) for word in found)
    assert words.at(-1, -1, -1) == words.at(LAYERS, 3, 3)


def test_layers_by_number_and_from_the_end() -> None:
    words = made_words(layers=(0, 2, 5))
    assert [words.layer_index(layer) for layer in (0, 2, 5, -1, -4, -6)] == [0, 1, 2, 2, 1, 0]
    for layer in (1, 3, 6, -2, -3, -7):
        with pytest.raises(ConfigurationError, match=f"layer {layer} .* computed: 0, 2, 5"):
            words.at(layer, 0, 0)


def test_negative_layers_need_the_models_depth() -> None:
    with pytest.raises(ConfigurationError, match="depth is not on record"):
        replace(made_words(), provenance={}).at(-1, 0, 0)


def test_negative_layers_are_the_models_in_both_places(trace: Trace) -> None:
    words = logit_lens(trace, k=1, layers=[-2])
    assert words.at(-2, 0, 0) == words.at(LAYERS - 1, 0, 0)
    with pytest.raises(ConfigurationError, match=f"layer -1 .* computed: {LAYERS - 1}"):
        words.at(-1, 0, 0)


def test_the_last_layer_of_input_similarity_is_its_only_one(trace: Trace) -> None:
    words = input_similarity(trace, k=1)
    assert words.at(-1, 0, 0) == words.at(0, 0, 0)
    for layer in (-2, 1):
        with pytest.raises(ConfigurationError, match="computed: 0"):
            words.at(layer, 0, 0)


def test_layers_may_be_numpy_numbers(trace: Trace, tmp_path: Path) -> None:
    words = logit_lens(trace, k=1, layers=list(np.array([1, -1])))
    words.save(tmp_path / "w.parquet")
    assert Words.load(tmp_path / "w.parquet").layers == [1, LAYERS]


def test_at_names_patches_that_are_not_there() -> None:
    with pytest.raises(ConfigurationError, match="2 rows and 3 columns"):
        made_words().at(0, 2, 0)


@pytest.mark.parametrize("grids", [((2, 3),), ((1, 2), (2, 2))])
def test_to_pandas_is_tidy_and_says_what_at_says(grids: tuple[tuple[int, int], ...]) -> None:
    words = made_words(grids=grids, k=2)
    table = words.to_pandas()
    n = sum(rows * cols for rows, cols in grids)
    assert len(table) == 3 * n * 2
    key = ["layer", "tile", "row", "col", "rank"]
    assert not table.duplicated(key).any()
    assert not table.isna().any(axis=None)
    for line in table.itertuples():
        word = words.at(line.layer, line.row, line.col, line.tile)[line.rank]
        assert (line.word, line.id) == (word.word, word.id)
        assert line.value == np.float32(word.value)
        assert line.probability == pytest.approx(word.probability)
        where = words.layer_index(line.layer), words.layout.index(line.row, line.col, line.tile)
        assert line.entropy == words.entropy[where]


def test_to_pandas_of_cosines_has_no_empty_columns() -> None:
    table = made_words("input_similarity", layers=(0,)).to_pandas()
    own = ["layer", "tile", "row", "col", "rank", "word", "id", "value"]
    assert list(table.columns) == [*own, "image", "model", "prompt"]
    assert not table.isna().any(axis=None)


def test_to_pandas_says_where_the_words_come_from() -> None:
    table = made_words().to_pandas()
    assert set(table["image"]) == {"0123456789ab"} and set(table["model"]) == {"m"}
    assert set(table["prompt"]) == {"What is in the picture?"}
    nothing = replace(made_words(), provenance={}).to_pandas()
    assert nothing[["image", "model", "prompt"]].isna().all(axis=None)


def test_one_line_says_what_they_are() -> None:
    words = made_words(n_tracked=1)
    line = "Words(logit_lens of m, 3 layers x 6 visual tokens, k=2"
    assert repr(words) == f"{line}, 1 tracked words)"
    assert repr(replace(words, tracked=None)) == f"{line})"
    assert "\n" not in repr(replace(words, provenance={"model": "a\nb"}))


def test_round_trip_of_real_results(trace: Trace, tmp_path: Path) -> None:
    for name, words in {
        "lens": logit_lens(trace, k=3),
        "tracked": logit_lens(trace, k=2, layers=[1, -1], tracked=["S", "red"]),
        "cosine": input_similarity(trace, k=4),
    }.items():
        path = tmp_path / f"{name}.parquet"
        words.save(path)
        loaded = Words.load(path)
        assert loaded == words
        assert loaded.layout == trace.layout
        assert loaded.provenance == trace.provenance
        pd.testing.assert_frame_equal(loaded.to_pandas(), words.to_pandas())
        assert loaded.image is None and words.image is not None


texts = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4), min_size=1, max_size=6
)


@pytest.mark.long
@given(
    st.sampled_from(["logit_lens", "input_similarity"]),
    st.lists(st.integers(0, 60), min_size=1, max_size=4, unique=True),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=2),
    st.integers(1, 4),
    texts,
    st.none() | st.integers(1, 3),
    st.integers(0, 1000),
)
def test_round_trip_of_any_shape_and_text(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    layers: list[int],
    grids: list[tuple[int, int]],
    k: int,
    texts: list[str],
    n_tracked: int | None,
    seed: int,
) -> None:
    words = made_words(kind, tuple(layers), tuple(grids), k, tuple(texts), n_tracked, seed)
    path = tmp_path_factory.mktemp("words") / "w.parquet"
    words.save(path)
    loaded = Words.load(str(path))
    assert loaded == words
    assert loaded.ids.dtype == np.int64 and loaded.values.dtype == np.float32


def test_equality_sees_every_part() -> None:
    words = made_words(n_tracked=1)
    assert words == replace(words, image=tiny_image())
    other = made_words(n_tracked=1, seed=1)
    for part in ("ids", "values", "logsumexp", "entropy", "layout", "tracked"):
        assert words != replace(words, **{part: getattr(other, part)})
    for part, value in (
        ("kind", "x"),
        ("layers", [0, 2, 6]),
        ("strings", {}),
        ("provenance", {}),
        ("tracked", None),
    ):
        assert words != replace(words, **{part: value})
    assert words != "words"


def test_others_can_read_the_file(tmp_path: Path) -> None:
    words = made_words()
    words.save(tmp_path / "w.parquet")
    table = pd.read_parquet(tmp_path / "w.parquet")
    assert len(table) == 3 * 6
    line = table[(table.layer == 2) & (table.row == 1) & (table.col == 2)].iloc[0]
    assert line.word.tolist() == [word.word for word in words.at(2, 1, 2)]


def test_files_that_are_not_ours(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        Words.load(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(ConfigurationError, match="not a Parquet file"):
        Words.load(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ConfigurationError, match=r"not a file that .* wrote"):
        Words.load(tmp_path / "other.parquet")
    with pytest.raises(ConfigurationError):
        Words.load(tmp_path)


def test_cut_off_file(tmp_path: Path) -> None:
    path = tmp_path / "w.parquet"
    made_words().save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ConfigurationError, match="do not have its checksum") as error:
        Words.load(path)
    assert "\n" not in str(error.value)


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot write"):
        made_words().save(tmp_path / "no" / "folder" / "w.parquet")


def test_layers_may_be_chosen_in_any_form(make_words: Callable[..., Words]) -> None:
    words = make_words(layers=(0, 1, 2, 3, 6))
    assert words.layers_chosen(-1) == [6] and words.layers_chosen(np.int64(2)) == [2]
    assert words.layers_chosen([2, 0, -1]) == [2, 0, 6]
    assert words.layers_chosen(range(0, 4, 3)) == [0, 3]
    assert words.layers_chosen(np.array([0, 1])) == [0, 1]
    assert words.layers_chosen(slice(None, None, 3)) == [0, 3, 6]
    assert words.layers_chosen(slice(-4, None)) == [3, 6]
    assert words.layers_chosen("all") == [0, 1, 2, 3, 6]
    for wrong in (4, [0, 4], [], slice(4, 6), slice(None, None, 0), slice("a"), "last", 1.5):
        with pytest.raises(ConfigurationError):
            words.layers_chosen(wrong)


def test_a_figure_has_a_panel_for_each_layer(make_words: Callable[..., Words]) -> None:
    figure = make_words().plot(layer=[0, 3, 6])
    said = [text.get_text() for text in figure.texts]
    assert [text for text in said if "layer" in text or "input" in text] == [
        "input (projector output)",
        "layer 3 of 6",
        "output (layer 6 of 6)",
    ]
    many = make_words(layers=range(60), depth=60)
    with pytest.raises(ConfigurationError, match="60 panels do not fit"):
        many.plot(layer="all")
