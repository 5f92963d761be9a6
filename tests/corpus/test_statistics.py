"""Statistics of a corpus equal counts by a plain loop."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from made_index import VOCABULARY, Row, made_index, rows_of

from llavit_lens.corpus.index import Index
from llavit_lens.corpus.word_index import WordIndex
from llavit_lens.errors import ConfigurationError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return made_index(tmp_path_factory.mktemp("made") / "index", unreadable=(3,))


@pytest.mark.parametrize("among", [1, 2])
def test_the_commonest_words_are_those_of_a_plain_count(made: Index, among: int) -> None:
    table = WordIndex(made.path).commonest(4, among=among)
    for layer in (0, 1, 2):
        rows = [row for row in rows_of(made) if row.layer == layer and row.rank < among]
        counts = Counter(row.token for row in rows)
        expected = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:4]
        of_layer = table[table["layer"].eq(layer)]
        assert list(zip(of_layer["id"], of_layer["patches"], strict=True)) == expected
        assert of_layer["token"].tolist() == [VOCABULARY[token] for token, _ in expected]
        patches = sum(row.rank == 0 for row in rows)
        assert of_layer["per_cent"].tolist() == [100 * n / patches for _, n in expected]
        for token, mean in zip(of_layer["id"], of_layer["mean_probability"], strict=True):
            values = [math.exp(row.value) for row in rows if row.token == token]
            assert mean == pytest.approx(sum(values) / len(values), rel=1e-6)


def test_newlines_are_counted_at_each_layer(made: Index) -> None:
    table = WordIndex(made.path).newlines()
    assert table["layer"].tolist() == [0, 1, 2]
    for line in table.itertuples():
        top = [row.token for row in rows_of(made) if row.rank == 0 and row.layer == line.layer]
        newlines = sum(VOCABULARY[token] in ("\n", "\n\n") for token in top)
        assert (line.patches, line.newlines) == (len(top), newlines)
        assert line.per_cent == 100 * newlines / len(top)


def test_differences_are_those_of_a_plain_count(tmp_path: Path) -> None:
    """Other names, so other numbers of images; another depth, and other patches per image."""
    names = [f"{number}.png" for number in range(8)]
    ours = made_index(tmp_path / "a", images=8, names=names, layers=(0, 1, 2), depth=2)
    theirs = made_index(
        tmp_path / "b", images=6, names=names[2:][::-1], layers=(0, 2, 4), depth=4, seed=5,
        grid=(3, 3),
    )  # fmt: skip
    table = WordIndex(ours.path).differences(theirs.path, n=1000)
    assert table.attrs["images"] == 6
    assert set(zip(table["layer"], table["other_layer"], strict=True)) == {(0, 0), (1, 2), (2, 4)}
    mine = [row for row in rows_of(ours) if row.image >= 2]
    for (layer, other), part in table.groupby(["layer", "other_layer"]):
        here = _words([row for row in mine if row.layer == layer])
        there = _words([row for row in rows_of(theirs, n=9) if row.layer == other])
        assert set(part["word"]) == {*here, *there}
        for line in part.itertuples():
            a, b = here.get(line.word, []), there.get(line.word, [])
            assert (line.patches, line.other_patches) == (len(a), len(b))
            shares = [
                100 * len(one) / sum(map(len, all_of.values()))
                for one, all_of in ((a, here), (b, there))
            ]
            assert [line.per_cent, line.other_per_cent] == pytest.approx(shares)
            assert line.difference == pytest.approx(shares[0] - shares[1])
            more, numbered = (a, names) if shares[0] >= shares[1] else (b, names[2:][::-1])
            best = min(more, key=lambda row: (-row.value, row.image, row.patch))
            assert (line.example, line.example_patch) == (numbered[best.image], best.patch)
        sizes = part["difference"].abs().tolist()
        assert sizes == sorted(sizes, reverse=True)
    few = WordIndex(ours.path).differences(WordIndex(theirs.path), n=1)
    assert few["word"].tolist() == table.groupby("layer")["word"].first().tolist()


def _words(rows: list[Row]) -> dict[str, list[Row]]:
    words: dict[str, list[Row]] = {}
    for row in rows:
        if row.rank == 0:
            text = VOCABULARY[row.token]
            words.setdefault(text.strip().lower() or text, []).append(row)
    return words


def test_corpora_that_cannot_be_compared_are_refused(made: Index, tmp_path: Path) -> None:
    index = WordIndex(made.path)
    other = made_index(tmp_path / "names", images=2, names=["x.png", "y.png"])
    with pytest.raises(ConfigurationError, match=r"no image in common: '000.png' .* 'x.png'"):
        index.differences(other.path)
    other = made_index(tmp_path / "lens", images=2, lens="input_similarity", layers=(0,))
    with pytest.raises(ConfigurationError, match="one of input similarity"):
        index.differences(other.path)
    other = made_index(tmp_path / "depth", images=2, layers=(3,), depth=10)
    with pytest.raises(ConfigurationError, match="no layer of one index fits"):
        index.differences(other.path)
    for bad in ({"n": 0}, {"among": 0}, {"among": 4}):
        with pytest.raises(ConfigurationError):
            index.commonest(**bad)


def test_images_of_one_name_but_other_pixels_are_left_out_and_counted(tmp_path: Path) -> None:
    pixels = list("0123456789")
    ours = made_index(tmp_path / "a", pixels=pixels)
    theirs = made_index(tmp_path / "b", seed=3, pixels=[*"xy", *pixels[2:]])
    kept = made_index(
        tmp_path / "c", seed=3, names=[*"xy", *(f"{i:03d}.png" for i in range(2, 10))],
        pixels=pixels,
    )  # fmt: skip
    table = WordIndex(ours.path).differences(theirs.path, n=1000)
    assert table.attrs == {"images": 8, "unlike": 2}
    assert table.equals(WordIndex(ours.path).differences(kept.path, n=1000))
    other = made_index(tmp_path / "d", pixels=["z"] * 10)
    with pytest.raises(ConfigurationError, match=r"10 have the same name, such as '000.png', but"):
        WordIndex(ours.path).differences(other.path)


def test_words_of_the_same_share_are_no_difference(tmp_path: Path) -> None:
    index = made_index(tmp_path / "index", unreadable=(3,))
    table = WordIndex(index.path).differences(index.path)
    assert table.empty and table.attrs["images"] == 9
    assert "example_patch" in table.columns
