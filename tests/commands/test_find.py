"""`llavit-lens find` and `words`: what they print, write and refuse."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from made_index import made_index
from programs import Program

from llavit_lens.corpus.word_index import WordIndex


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("find") / "index"
    return made_index(path, images=40, images_per_shard=25).path


def test_hits_are_printed_and_written(command: Program, index: Path, tmp_path: Path) -> None:
    out = tmp_path / "hits.csv"
    options = ("--layer", "0,-1", "--min-probability", 0.1, "--limit", 3, "--per", "image")
    code, text, err = command("find", "dog", index, *options, "--out", out)
    hits = WordIndex(index).find("dog", [0, 2], 0.1, 3, per="image")
    assert code == 0, err
    pd.testing.assert_frame_equal(pd.read_csv(out), hits.table, check_dtype=False)
    for hit in hits.table.itertuples():
        assert f"{hit.probability:.3f}" in text and hit.source in text
        assert f"row {hit.row}, col {hit.col}" in text
    assert f"3 of {hits.total} of 40 images" in text
    assert "Patches by layer: 0: " in text and str(out) in text


def test_pieces_are_printed_with_their_layers(command: Program, index: Path) -> None:
    code, text, _ = command("find", "Television", index, "--limit", 1)
    pieces = WordIndex(index).find("television", limit=1).pieces
    assert code == 0 and pieces is not None and len(pieces) == 2
    for piece in pieces.itertuples():
        said = f"{piece.token.strip()} ({piece.probability:.3f}, layer {piece.layer})"
        assert said.split() == [word for word in said.split() if word in text]


def test_a_sheet_is_written(command: Program, index: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.html"
    assert command("find", "kite", index, "--out", out)[0] == 0
    assert "kite" in out.read_text()


def test_words_of_each_layer_and_what_differs(
    command: Program, index: Path, tmp_path: Path
) -> None:
    code, text, _ = command("words", index, "-n", 2)
    table = WordIndex(index).commonest(2)
    assert code == 0 and "% of patches where it is the best word" in text
    for share in table["per_cent"]:
        assert f"{share:.1f}" in text
    for share in WordIndex(index).newlines()["per_cent"]:
        assert f"{share:.1f}" in text
    other = made_index(tmp_path / "other", images=40, seed=4, model="another:one").path
    out = tmp_path / "differences.parquet"
    code, text, _ = command("words", index, "--against", other, "-n", 1, "--out", out)
    assert code == 0 and "There: another:one" in text and "40 images that both have" in text
    expected = WordIndex(index).differences(other, 1)
    pd.testing.assert_frame_equal(pd.read_parquet(out), expected, check_dtype=False)


def test_differences_fit_a_terminal_and_none_is_one_line(
    command: Program, index: Path, tmp_path: Path
) -> None:
    code, text, _ = command("words", index, "--against", index)
    assert code == 0 and text.startswith("No difference: on the 40 images that both have")
    assert "+0.0" not in text
    names = [f"piano-pizza-{i:02d}.png" for i in range(4)]
    made = [
        made_index(tmp_path / f"{seed}", images=4, names=names, seed=seed, pixels=["0", *pixels])
        for seed, pixels in enumerate(("123", "12x"))
    ]
    code, text, err = command("words", made[0].path, "--against", made[1].path, "-n", 1)
    rows = [line.split() for line in text.splitlines() if ".png" in line]
    assert code == 0 and len(rows) == 3
    assert all(row[-2] in names and row[-1].isdigit() for row in rows)
    assert "Left out: 1 images that have one name but other pixels." in err


def test_names_are_printed_as_they_are(command: Program, tmp_path: Path) -> None:
    names = [r"surr\xff.png", "b.png"]
    index = made_index(tmp_path / "index", images=2, names=names).path
    _, text, _ = command("find", "dog", index, "--limit", 99)
    assert names[0] in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("find", " ", "INDEX"), "there is no word to look for"),
        (("find", "zebra", "INDEX"), "cannot say it"),
        (("find", "dog", "nowhere"), "no such folder"),
        (("find", "dog", "."), "is no index"),
        (("find", "dog", "INDEX", "--layer", "x"), "--layer 'x' is neither"),
        (("find", "dog", "INDEX", "--layer", "9"), "layer 9 is not among those of the index"),
        (("find", "dog", "INDEX", "--out", "x.docx"), "its name has to end in"),
        (("words", "INDEX", "--among", 2, "--against", "INDEX"), "--among has no effect"),
    ],
)
def test_mistakes_get_one_line(
    command: Program, index: Path, arguments: tuple[object, ...], says: str
) -> None:
    given = (index if one == "INDEX" else one for one in arguments)
    code, text, err = command(*given)
    assert code == 2 and says in err and text == "" and len(err.strip().splitlines()) == 1
