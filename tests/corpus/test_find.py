"""A search finds what a plain loop over all rows finds, in the same order."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_index import Row, best_first, made_index, rows_of
from pandas.testing import assert_frame_equal

from llavit_lens.corpus import postings as postings_module
from llavit_lens.corpus.finding import UNITS
from llavit_lens.corpus.index import Index
from llavit_lens.corpus.word_index import WordIndex
from llavit_lens.errors import ConfigurationError
from llavit_lens.results.hits import Per

DOGS = {0: " dog", 1: "dog", 2: "Dog", 3: " DOG"}
COLUMNS = ["image", "layer", "patch", "rank", "token"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return made_index(tmp_path_factory.mktemp("made") / "index", unreadable=(3,))


@pytest.fixture(scope="module")
def index(made: Index) -> WordIndex:
    return WordIndex(made.path)


def unit(row: Row, per: Per) -> tuple[int, ...]:
    return tuple(getattr(row, name) for name in UNITS[per])


def best_of_each(rows: list[Row], per: Per) -> list[Row]:
    best: dict[tuple[int, ...], Row] = {}
    for row in sorted(rows, key=best_first):
        best.setdefault(unit(row, per), row)
    return list(best.values())


@pytest.mark.parametrize("per", ["image", "patch", "layer"])
@pytest.mark.parametrize(
    ("layer", "least", "limit"),
    [(None, 0.0, 1), (None, 0.0, 10_000), (1, 0.1, 5), ([0, -1], 0.05, 7), (None, 0.9, 20)],
)
def test_hits_are_those_of_a_plain_loop(
    made: Index, index: WordIndex, per: Per, layer: int | list[int] | None, least: float, limit: int
) -> None:
    layers = {None: [0, 1, 2], 1: [1]}.get(layer if not isinstance(layer, list) else 0, [0, 2])
    found = [
        row
        for row in rows_of(made)
        if row.token in DOGS and row.layer in layers and math.exp(row.value) >= least
    ]
    expected = best_of_each(found, per)

    hits = index.find("dog", layer, least, limit, per=per)

    assert hits.tokens == DOGS
    assert hits.total == len(expected)
    assert [tuple(one) for one in hits.table[COLUMNS].to_numpy().tolist()] == [
        (row.image, row.layer, row.patch, row.rank, DOGS[row.token]) for row in expected[:limit]
    ]
    assert hits.table["probability"].tolist() == pytest.approx(
        [math.exp(row.value) for row in expected[:limit]], rel=1e-12
    )
    for line in hits.layers.itertuples():
        at = [row for row in found if row.layer == line.layer]
        assert line.patches == len({(row.image, row.patch) for row in at})
        assert line.images == len({row.image for row in at})
        assert line.highest == pytest.approx(math.exp(max(row.value for row in at)))
    assert set(hits.layers["layer"]) == {row.layer for row in found}


def test_a_hit_lies_where_its_patch_lies(index: WordIndex) -> None:
    hits = index.find("dog", limit=10_000, per="layer")
    for hit in hits.table.itertuples():
        assert (hit.row, hit.col, hit.tile) == (hit.patch // 3, hit.patch % 3, 0)
        assert (hit.x0, hit.y0) == (10 * hit.col, 10 * hit.row)
        assert (hit.x1, hit.y1) == (hit.x0 + 10, hit.y0 + 10)
        assert hit.source == f"{hit.image:03d}.png"
    assert set(hits.table["patch"]) == {0, 1, 2, 3, 4}  # the last one is padding
    assert (hits.n_images, hits.n_listed) == (9, 10)
    assert "1 images could not be read" in hits.note


@pytest.mark.parametrize("per", ["image", "patch", "layer"])
@pytest.mark.parametrize(("layer", "least"), [(None, 0.0), (2, 0.02)])
def test_pieces_are_found_together(
    tmp_path: Path, per: Per, layer: int | None, least: float
) -> None:
    made = made_index(tmp_path / "index", images=60, images_per_shard=25, grid=(2, 3))
    tele, vision = 5, 6
    rows = [
        row
        for row in rows_of(made)
        if layer in (None, row.layer) and (not least or math.exp(row.value) >= least)
    ]
    places: dict[tuple[int, ...], list[Row]] = {}
    for token in (tele, vision):
        for row in best_of_each([row for row in rows if row.token == token], per):
            places.setdefault(unit(row, per), []).append(row)
    met = [pair for pair in places.values() if len(pair) == 2]
    lowest = [(min(pair, key=lambda r: (r.value, *r[2:], r.token)), pair) for pair in met]
    expected = sorted(lowest, key=lambda one: best_first(one[0]))

    hits = WordIndex(made.path).find("television", layer, least, 5, per=per)

    assert hits.tokens == {tele: " tele", vision: "vision"}
    assert hits.total == len(expected) >= 1
    assert hits.table[COLUMNS[:-1]].to_numpy().tolist() == [
        [row.image, row.layer, row.patch, row.rank] for row, _ in expected[:5]
    ]
    assert hits.pieces is not None
    assert hits.pieces.drop(columns="probability").to_numpy().tolist() == [
        [number, hits.tokens[row.token], row.layer, row.patch, row.rank]
        for number, (_, pair) in enumerate(expected[:5])
        for row in sorted(pair, key=lambda row: row.token)
    ]


def test_all_ways_to_write_pieces_are_looked_for(tmp_path: Path) -> None:
    words = (" tele", "vision", " TELE", "VISION", *(f" word{i}" for i in range(8)))
    index = made_index(tmp_path / "index", images=30, vocabulary=words)
    hits = WordIndex(index.path).find("Television", limit=1000, per="layer")
    assert hits.pieces is not None
    pairs = hits.pieces.groupby("hit")["token"].agg(tuple)
    assert set(pairs) == {(" tele", "vision"), (" TELE", "VISION")}
    assert len(pairs) == len(hits) == hits.total


def test_exact_is_the_text_as_it_is(index: WordIndex) -> None:
    assert index.find("Dog", exact=True).tokens == {2: "Dog"}
    assert index.find(" dog", exact=True).tokens == {0: " dog"}
    assert index.find("\n", exact=True).tokens == {7: "\n"}
    assert index.find("  dOG ").tokens == DOGS
    with pytest.raises(ConfigurationError, match="no token is exactly this text"):
        index.find("DOG", exact=True)


def test_quotes_are_no_sql(index: WordIndex) -> None:
    with pytest.raises(ConfigurationError, match="cannot say it"):
        index.find("dog' OR 'a' = 'a")


@pytest.mark.parametrize("word", ["", "  ", "\n\t"])
def test_no_word_is_refused(index: WordIndex, word: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no word to look for"):
        index.find(word)


def test_a_word_that_cannot_be_said_and_one_that_is_not_read_are_told_apart(
    tmp_path: Path,
) -> None:
    words = (" dog", *(f" w{i}" for i in range(40)), " zebra", " gi", "raffe")
    path = tmp_path / "index"
    made_index(path, images=2, padding=0, k=2, vocabulary=words)
    index = WordIndex(path)
    with pytest.raises(ConfigurationError, match="cannot say it: it is not among the 44 tokens"):
        index.find("kangaroo")
    drop_tokens(path, {41, 42})
    never = index.find("zebra")
    assert len(never) == never.total == len(never.layers) == 0
    assert "can say 'zebra', but it is nowhere among the 2 best words" in never.note
    assert "-k 4" in never.note and "--words 'zebra'" in never.note
    low = index.find("dog", min_probability=1.0, layer=1)
    assert len(low) == 0 and "its best is probability" in low.note
    apart = index.find("giraffe")
    assert len(apart) == 0 and "its pieces are nowhere together in one patch" in apart.note
    assert "' gi' on 0" in apart.note.replace("'gi'", "' gi'")


def drop_tokens(path: Path, tokens: set[int]) -> None:
    """Write other words in their place."""
    for file in (path / "patches").iterdir():
        table = pq.read_table(file)
        ids = [
            [1 if token in tokens else token for token in row] for row in table["ids"].to_pylist()
        ]
        column = pa.array(ids, table.schema.field("ids").type)
        pq.write_table(table.set_column(3, table.schema.field("ids"), column), file)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"layer": 7}, "layer 7 is not among those of the index: 0, 1, 2"),
        ({"layer": "1"}, "give a whole number"),
        ({"layer": []}, "layer names none"),
        ({"limit": 0}, "limit=0: give 1 or more"),
        ({"limit": 2 * 10**18}, "give at most 1,000,000,000"),
        ({"limit": 10**20}, "give at most 1,000,000,000"),
        ({"per": "pixel"}, "choose one of image, patch, layer"),
        ({"min_probability": 1.5}, "give a number from 0 to 1"),
        ({"min_probability": math.nan}, "give a number from 0 to 1"),
        ({"min_cosine": 0.2}, "is of the logit lens"),
    ],
)
def test_arguments_without_meaning_are_refused(
    index: WordIndex, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        index.find("dog", **arguments)  # type: ignore[arg-type]


def test_input_similarity_has_cosines(tmp_path: Path) -> None:
    made = made_index(tmp_path / "index", lens="input_similarity", layers=(0,))
    index = WordIndex(made.path)
    best = min((row for row in rows_of(made) if row.token in DOGS), key=best_first)
    hits = index.find("dog", layer=-1, limit=1)
    assert hits.value == "cosine" and hits.table.columns[-1] == "cosine"
    assert hits.table["cosine"].tolist() == [best.value]
    assert (index.find("dog", min_cosine=0.2, limit=999).table["cosine"] >= 0.2).all()
    with pytest.raises(ConfigurationError, match="use min_cosine"):
        index.find("dog", min_probability=0.1)


def test_without_postings_the_answers_are_the_same(
    made: Index, index: WordIndex, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a folder that cannot be written to."""
    refuse_writing(monkeypatch)
    again = made_index(tmp_path / "index", unreadable=(3,))
    bare = WordIndex(again.path)
    for word, per in product(("dog", "television"), UNITS):
        ours, theirs = index.find(word, per=per), bare.find(word, per=per)
        assert ours.table.equals(theirs.table) and ours.layers.equals(theirs.layers)
        assert (ours.total, ours.n_images) == (theirs.total, theirs.n_images)
    assert "without postings, which is slower (cannot write " in theirs.note
    assert not (again.path / "postings").exists()
    assert_frame_equal(index.commonest(), bare.commonest(), rtol=1e-12)  # means: another order


def refuse_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(target: Path) -> None:
        raise ConfigurationError(f"cannot write {target}: read-only file system")

    monkeypatch.setattr(postings_module, "write_folder_atomically", refuse)


def test_equal_hits_come_by_layer_before_patch_and_many_rows_of_one_hit_hide_none(
    tmp_path: Path,
) -> None:
    """One image has more rows than a first look takes in; all have one value in ten."""
    made = made_index(tmp_path / "index", images=3, images_per_shard=9, grid=(9, 9), padding=0)
    rows = [row for row in rows_of(made, 0, 81) if row.token in DOGS]
    for per in UNITS:
        expected = best_of_each(rows, per)
        table = WordIndex(made.path).find("dog", limit=3, per=per).table
        assert table[COLUMNS[:-1]].to_numpy().tolist() == [list(r[2:]) for r in expected[:3]]
    table = WordIndex(made.path).find("dog", limit=900, per="layer").table
    everything = best_of_each(rows, "layer")[:900]
    assert table[COLUMNS[:-1]].to_numpy().tolist() == [list(r[2:]) for r in everything]


def test_an_image_whose_rows_fill_the_first_look_hides_no_other(tmp_path: Path) -> None:
    """The first look of a search for 2 hits takes 16 rows; the first image has 75 of the best."""
    words = (" dog",)
    made = made_index(tmp_path / "index", images=2, grid=(5, 5), padding=0, k=1, vocabulary=words)
    file = made.path / "patches" / "00000.parquet"
    table = pq.read_table(file)
    values = [[0.0 if image == 0 else -1.0] for image in table["image"].to_pylist()]
    field = table.schema.field("log_probabilities")
    column = pa.array(values, pa.list_(pa.float32(), 1)).cast(field.type)
    pq.write_table(table.set_column(4, field, column), file)
    hits = WordIndex(made.path).find("dog", limit=2, per="image")
    assert hits.table["image"].tolist() == [0, 1] and hits.total == 2


def test_accents_count_the_same_however_they_are_written(tmp_path: Path) -> None:
    composed, apart = "caf\u00e9", "Cafe\u0301"
    words = (f" {composed}", f" {apart}", *(f" word{i}" for i in range(8)))
    index = WordIndex(made_index(tmp_path / "index", images=2, vocabulary=words).path)
    for word in (composed, apart):
        assert list(index.find(word).tokens) == [0, 1]
    assert list(index.find(f" {apart}", exact=True).tokens) == [1]
    other = made_index(tmp_path / "other", images=2, vocabulary=words, seed=1)
    read = set(index.differences(other.path, 100)["word"])
    assert composed in read and apart.lower() not in read


def test_repeated_pieces_are_said(tmp_path: Path) -> None:
    words = (" ha", "ha", *(f" word{i}" for i in range(4)))
    index = WordIndex(made_index(tmp_path / "index", images=2, vocabulary=words).path)
    once, twice = index.find("haha"), index.find("hahaha")
    assert once.table.equals(twice.table) and len(once)
    assert once.note == "" and "'hahaha' has a piece more than once" in twice.note


def test_layers_of_pieces_count_hits_and_those_of_a_token_patches(index: WordIndex) -> None:
    pieces = index.find("television", per="image", limit=99)
    assert pieces.layers["patches"].sum() == pieces.total == len(pieces)
    counts = pieces.table["layer"].value_counts()
    assert dict(zip(pieces.layers["layer"], pieces.layers["patches"], strict=True)) == dict(counts)
    token = index.find("dog", per="image")
    assert token.layers.equals(index.find("dog", per="layer").layers)
