"""Saved words: what comes back is what was saved, or one clear error."""

from __future__ import annotations

import io
import json
import os
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import tiny_image
from tiny_vlm import tiny_vlm

from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.figures import draw_patch_words, draw_selected_patches, draw_word_panels
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.results.result import MAX_BYTES
from llavit_lens.results.words import Words
from llavit_lens.results.words_file import FORMAT

ABOUT, SEAL = b"llavit_lens.words", b"llavit_lens.words.sha256"


@pytest.fixture(scope="module")
def words() -> Words:
    return logit_lens(tiny_vlm("llavit").trace(tiny_image()), k=3, tracked=["S", "red"])


@pytest.fixture(scope="module")
def contents(words: Words) -> bytes:
    return words.to_bytes()


def refused_or_equal(data: bytes, words: Words) -> bool:
    """Whether the bytes are refused, in one line; if not, they hold the same words."""
    try:
        loaded = Words.load(data)
    except ConfigurationError as error:
        assert "\n" not in str(error) and len(str(error)) < 600
        return True
    assert loaded == words
    return False


def test_bytes_and_file_are_the_same(words: Words, contents: bytes, tmp_path: Path) -> None:
    words.save(tmp_path / "w.parquet")
    assert (tmp_path / "w.parquet").read_bytes() == contents
    assert Words.load(contents) == Words.load(tmp_path / "w.parquet") == words
    assert replace(words, tracked=None) == Words.load(replace(words, tracked=None).to_bytes())


def test_no_tracked_words_come_back_as_none_of_them(words: Words) -> None:
    shape = words.ids.shape[:2]
    assert words.tracked is not None
    nothing = words.tracked._replace(
        words=[], ids=np.empty(0, np.int64), values=np.empty((*shape, 0), np.float32),
        ranks=np.empty((*shape, 0), np.int64),
    )  # fmt: skip
    some = replace(words, tracked=nothing)
    assert Words.load(some.to_bytes()) == some


def test_flipped_bytes_never_change_words(words: Words, contents: bytes) -> None:
    chance = random.Random(0)
    places = [chance.randrange(len(contents)) for _ in range(500)]
    for place in places:
        damaged = bytearray(contents)
        damaged[place] ^= 1 << chance.randrange(8)
        assert refused_or_equal(bytes(damaged), words)


def test_cut_and_doubled_files_are_refused(words: Words, contents: bytes) -> None:
    chance = random.Random(1)
    for length in [0, 1, 4, 8, 12, *(chance.randrange(len(contents)) for _ in range(60))]:
        assert refused_or_equal(contents[:length], words)
        assert refused_or_equal(contents[length:], words) or length == 0
    assert refused_or_equal(contents + contents, words)
    assert refused_or_equal(contents + b"\0", words)


def with_table(
    contents: bytes, change: Callable[[pa.Table], pa.Table], sealed: bool = True
) -> bytes:
    """The file of another table; `sealed`: with a checksum that fits."""
    table = change(pq.read_table(pa.BufferReader(contents)))
    file = io.BytesIO()
    pq.write_table(table, file)
    return FORMAT.seal(file.getvalue()) if sealed else file.getvalue()


def permuted(table: pa.Table, order: Any) -> pa.Table:
    return table.take(pa.array(order))


def swapped(table: pa.Table, a: str, b: str) -> pa.Table:
    columns = {name: table[name] for name in table.column_names}
    columns[a], columns[b] = columns[b], columns[a]
    return pa.table(columns).replace_schema_metadata(table.schema.metadata)


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    index = table.column_names.index(name)
    return table.set_column(index, pa.field(name, values.type), values)


def shifted(table: pa.Table, name: str, by: float) -> pa.Table:
    column = table[name].combine_chunks()
    lists = isinstance(column.type, pa.FixedSizeListType)
    flat = (column.flatten() if lists else column).to_numpy().copy()
    flat[-1] += by
    array = pa.array(flat)
    if lists:
        array = pa.FixedSizeListArray.from_arrays(array, column.type.list_size)
    return with_column(table, name, array)


EDITS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "rows reversed": lambda t: permuted(t, np.arange(len(t))[::-1]),
    "rows shuffled": lambda t: permuted(t, np.random.default_rng(0).permutation(len(t))),
    "two rows swapped": lambda t: permuted(t, [1, 0, *range(2, len(t))]),
    "a row missing": lambda t: t.slice(1),
    "a row twice": lambda t: permuted(t, [0, 0, *range(2, len(t))]),
    "a row more": lambda t: pa.concat_tables([t, t.slice(0, 1)]),
    "no rows": lambda t: t.slice(0, 0),
    "row and col swapped": lambda t: swapped(t, "row", "col"),
    "logsumexp and entropy swapped": lambda t: swapped(t, "logsumexp", "entropy"),
    "layer by one": lambda t: shifted(t, "layer", 1),
    "tile by one": lambda t: shifted(t, "tile", 1),
    "an id": lambda t: shifted(t, "id", 1),
    "a value": lambda t: shifted(t, "value", -1e-6),
    "a value NaN": lambda t: shifted(t, "value", np.nan),
    "a logsumexp": lambda t: shifted(t, "logsumexp", 1),
    "a rank": lambda t: shifted(t, "tracked_rank", 1),
    "a value of a leader": lambda t: shifted(t, "leader_value", -1),
    "a value of a leader NaN": lambda t: shifted(t, "leader_value", np.nan),
    "no leaders": lambda t: t.drop_columns(["leader_value"]),
    "no entropy": lambda t: t.drop_columns(["entropy"]),
    "no word": lambda t: t.drop_columns(["word"]),
    "a column more": lambda t: t.append_column("more", t["layer"]),
    "another order of columns": lambda t: t.select(t.column_names[::-1]),
    "layers as floats": lambda t: with_column(t, "layer", t["layer"].cast(pa.float64())),
    "values as doubles": lambda t: with_column(
        t, "value", t["value"].cast(pa.list_(pa.float64(), 3))
    ),
    "an empty cell": lambda t: with_column(
        t, "entropy", pa.array([None, *t["entropy"].to_pylist()[1:]], pa.float32())
    ),
    "an empty list": lambda t: with_column(
        t, "id", pa.array([None, *t["id"].to_pylist()[1:]], pa.list_(pa.int64(), 3))
    ),
    "another text": lambda t: with_column(
        t, "word", pa.array([["x"] * 3, *t["word"].to_pylist()[1:]], pa.list_(pa.string(), 3))
    ),
    "no description": lambda t: t.replace_schema_metadata({SEAL: t.schema.metadata[SEAL]}),
}  # fmt: skip


# Of a number, only the checksum knows that it was another one.
ONLY_NUMBERS = ("a value", "a logsumexp", "a rank", "logsumexp and entropy swapped")


@pytest.mark.parametrize("edit", EDITS)
def test_edited_tables_are_refused(edit: str, words: Words, contents: bytes) -> None:
    assert refused_or_equal(with_table(contents, lambda table: table), words) is False
    assert refused_or_equal(with_table(contents, EDITS[edit], sealed=False), words)
    if edit not in ONLY_NUMBERS:
        assert refused_or_equal(with_table(contents, EDITS[edit]), words)


def with_description(
    contents: bytes, change: Callable[[dict[str, Any]], Any], sealed: bool
) -> bytes:
    """The file with another description."""

    def edit(table: pa.Table) -> pa.Table:
        about = json.loads(table.schema.metadata[ABOUT])
        about = change(about) or about
        text = about if isinstance(about, bytes) else json.dumps(about).encode()
        return table.replace_schema_metadata({ABOUT: text, SEAL: table.schema.metadata[SEAL]})

    return with_table(contents, edit, sealed)


def layout_with(**fields: Callable[[list[Any]], Any]) -> Callable[[dict[str, Any]], None]:
    def change(about: dict[str, Any]) -> None:
        for name, edit in fields.items():
            about["layout"][name] = edit(about["layout"][name])

    return change


def other_way_round(table: dict[str, Any]) -> dict[str, Any]:
    return dict(zip(table, reversed(table.values()), strict=True))


DESCRIPTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "kind": lambda a: a.update(kind="input_similarity"),
    "unknown kind": lambda a: a.update(kind="x"),
    "kind of a wrong type": lambda a: a.update(kind=["logit_lens"]),
    "layers in another order": lambda a: a.update(layers=a["layers"][::-1]),
    "layers twice": lambda a: a.update(layers=[0] * len(a["layers"])),
    "layers as texts": lambda a: a.update(layers=[str(n) for n in a["layers"]]),
    "layers as floats": lambda a: a.update(layers=[n + 0.5 for n in a["layers"]]),
    "layers as truths": lambda a: a.update(layers=[n > 0 for n in a["layers"]]),
    "layers none": lambda a: a.update(layers=[]),
    "layers null": lambda a: a.update(layers=None),
    "a layer too deep": lambda a: a["provenance"].update(n_layers=1),
    "k": lambda a: a.update(k=2),
    "k huge": lambda a: a.update(k=10**30),
    "k of 0": lambda a: a.update(k=0),
    "k a truth": lambda a: a.update(k=True),
    "a text": lambda a: a["strings"].update({next(iter(a["strings"])): "x"}),
    "texts swapped": lambda a: a.update(strings=other_way_round(a["strings"])),
    "a text missing": lambda a: a["strings"].pop(next(iter(a["strings"]))) and None,
    "a text no text": lambda a: a["strings"].update({next(iter(a["strings"])): 1}),
    "an id no number": lambda a: a["strings"].update(x="x"),
    "an id of other digits": lambda a: a["strings"].update({"٣": "x"}),
    "texts a list": lambda a: a.update(strings=[]),
    "provenance a list": lambda a: a.update(provenance=[]),
    "image_sha256": lambda a: a["provenance"].update(image_sha256=5),
    "tracked none": lambda a: a.update(tracked=None),
    "tracked others": lambda a: a.update(tracked=[a["tracked"][0][::-1], a["tracked"][1]]),
    "tracked ids": lambda a: a.update(tracked=[a["tracked"][0], a["tracked"][1][::-1]]),
    "tracked ids as floats": lambda a: a.update(tracked=[a["tracked"][0], [0.5, 1.5]]),
    "tracked fewer": lambda a: a.update(tracked=[a["tracked"][0], [1]]),
    "tracked short": lambda a: a.update(tracked=[[]]),
    "leaders none": lambda a: a.update(leaders=None),
    "leaders more": lambda a: a.update(leaders=a["leaders"] + 1),
    "leaders of 0": lambda a: a.update(leaders=0),
    "leaders a truth": lambda a: a.update(leaders=True),
    "leaders huge": lambda a: a.update(leaders=10**30),
    "leaders of before, in a file of now": lambda a: a.pop("leaders") and None,
    "positions": layout_with(positions=lambda p: [p[1], p[0], *p[2:]]),
    "positions negative": layout_with(positions=lambda p: [-1, *p[1:]]),
    "positions as floats": layout_with(positions=lambda p: [p[0] + 0.1, *p[1:]]),
    "positions as texts": layout_with(positions=lambda p: [str(n) for n in p]),
    "positions huge": layout_with(positions=lambda p: [*p[:-1], 10**30]),
    "positions nested": layout_with(positions=lambda p: [p]),
    "off_image": layout_with(off_picture=lambda p: [5]),
    "off_image nested": layout_with(off_picture=lambda p: [[1]]),
    "rows": layout_with(row=lambda p: p[::-1]),
    "grid": layout_with(grid=lambda p: [[2, 8]]),
    "grid none": layout_with(grid=lambda p: []),
    "grid negative": layout_with(grid=lambda p: [[-4, -4]]),
    "grid of texts": layout_with(grid=lambda p: [["4", "4"]]),
    "image size": layout_with(image_size=lambda p: [1, 1]),
    "image size of texts": layout_with(image_size=lambda p: ["a", "b"]),
    "image size short": layout_with(image_size=lambda p: p[:1]),
    "boxes off the image": layout_with(boxes=lambda p: [[b + 1000 for b in box] for box in p]),
    "boxes NaN": layout_with(boxes=lambda p: [[float("nan")] * 4, *p[1:]]),
    "boxes the other way round": layout_with(boxes=lambda p: [box[2:] + box[:2] for box in p]),
    "boxes of three": layout_with(boxes=lambda p: [box[:3] for box in p]),
    "layout none": lambda a: a.update(layout={}),
    "layout a list": lambda a: a.update(layout=[]),
    "layout of more": lambda a: a["layout"].update(more=1),
    "more": lambda a: a.update(more=1),
    "less": lambda a: a.pop("layout") and None,
    "format 4": lambda a: a.update(format=4),
    "format 2": lambda a: a.update(format=2),
    "format 1": lambda a: a.update(format=1),
    "format a list": lambda a: a.update(format=[]),
    "no table": lambda a: [1],
    "deep": lambda a: b"[" * 100_000,
    "no JSON": lambda a: b"\xff{",
    "a number of many digits": lambda a: b"[" + b"1" * 10_000 + b"]",
}  # fmt: skip


@pytest.mark.parametrize("edit", DESCRIPTIONS)
@pytest.mark.parametrize("sealed", [False, True], ids=["old checksum", "new checksum"])
def test_edited_descriptions_are_refused(
    edit: str, sealed: bool, words: Words, contents: bytes
) -> None:
    assert refused_or_equal(with_description(contents, lambda a: None, sealed=True), words) is False
    assert refused_or_equal(with_description(contents, DESCRIPTIONS[edit], sealed), words)


def test_files_without_a_checksum_are_refused(contents: bytes) -> None:
    def without_seal(table: pa.Table) -> pa.Table:
        return table.replace_schema_metadata({ABOUT: table.schema.metadata[ABOUT]})

    with pytest.raises(ConfigurationError, match="an earlier one saved no checksum"):
        Words.load(with_table(contents, without_seal, sealed=False))


def test_what_is_no_file_of_words(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", MAX_BYTES + 1)
    for path, fault in {
        "": "no file name",
        tmp_path: "is a folder",
        tmp_path / "pipe": "not a regular file",
        "/dev/zero": "not a regular file",
        tmp_path / "huge": "larger than the limit",
        "~nobody-of-this-name/w.parquet": "cannot be read",
    }.items():
        with pytest.raises(ConfigurationError, match=fault):
            Words.load(path)


def test_a_small_file_does_not_fill_memory(words: Words, contents: bytes) -> None:
    """Constant columns and repeated texts take almost no room in a file."""

    def many_rows(table: pa.Table) -> pa.Table:
        return pa.concat_tables([table] * 5000)

    with pytest.raises(ConfigurationError, match="one row for each entry"):
        Words.load(with_table(contents, many_rows))

    def long_text(table: pa.Table) -> pa.Table:
        indices = pa.array(np.zeros(3 * len(table), np.int32))
        texts = pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 10_000_000]))
        return with_column(table, "word", pa.FixedSizeListArray.from_arrays(texts, 3))

    before = peak_memory()
    with pytest.raises(ConfigurationError, match="texts are not those"):
        Words.load(with_table(contents, long_text))
    assert peak_memory() - before < 400  # expanded it would be 10 MB for each of 3 x 80 words


def peak_memory() -> int:
    """MiB that this process has had at most."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) // 1024


def test_words_that_could_not_be_loaded_are_not_saved(words: Words, tmp_path: Path) -> None:
    path = tmp_path / "w.parquet"
    words.save(path)
    ids = words.ids.copy()
    ids[0, 0, 0] = 10**6
    nan = words.values.copy()
    nan[0, 0, 0] = np.nan
    for wrong in (
        replace(words, ids=ids),
        replace(words, values=nan),
        replace(words, values=words.values.astype(np.float64)),
        replace(words, entropy=None),
        replace(words, strings={**words.strings, 0: "\ud800"}),
        replace(words, provenance={"model": {1, 2}}),
        replace(words, provenance={"seconds": float("nan")}),
    ):
        with pytest.raises(ConfigurationError):
            wrong.save(path)
    assert Words.load(path) == words
    assert list(tmp_path.iterdir()) == [path]


def test_plot_takes_the_image_of_the_words_and_no_other(words: Words, tmp_path: Path) -> None:
    image = tiny_image()
    loaded = Words.load(words.to_bytes())
    image.save(tmp_path / "same.png")
    data = (tmp_path / "same.png").read_bytes()
    for same in (image, tmp_path / "same.png", str(tmp_path / "same.png"), data, np.asarray(image)):
        assert loaded.plot(image=same)
    assert words.plot()
    other = image.copy()
    other.putpixel((0, 0), (1, 2, 3))
    with pytest.raises(ConfigurationError, match="other pixels"):
        loaded.plot(image=other)
    with pytest.raises(ConfigurationError, match="other pixels"):
        words.plot(image=other)
    twice = image.resize((2 * image.width, 2 * image.height))  # a sharper copy, as in figures
    assert loaded.plot(image=twice).axes
    with pytest.raises(ConfigurationError, match=r"not the one that was read .*another shape"):
        loaded.plot(image=image.resize((2 * image.width, image.height)))
    with pytest.raises(ImageError, match="no such file"):
        loaded.plot(image=tmp_path / "none.png")


def test_figures_refuse_another_image_and_words_of_several(words: Words) -> None:
    other = tiny_image(5, *words.layout.image_size)
    for draw in (
        lambda: draw_patch_words(words, other),
        lambda: draw_word_panels([("m", [(words, 0)])], other),
        lambda: draw_selected_patches([("m", words, words)], other, [(0, 0)]),
    ):
        with pytest.raises(ConfigurationError, match="other pixels"):
            draw()
    elsewhere = replace(words, provenance=words.provenance | {"image_sha256": "0" * 64})
    for draw in (
        lambda: draw_word_panels([("m", [(words, 0)]), ("n", [(elsewhere, 0)])]),
        lambda: draw_selected_patches([("m", words, elsewhere)], None, [(0, 0)]),
    ):
        with pytest.raises(ConfigurationError, match="different images"):
            draw()
    width, height = words.layout.image_size
    assert draw_patch_words(words, tiny_image().resize((4 * width, 4 * height)))  # a sharper copy


def test_other_forms_of_bytes_and_no_place_to_save(words: Words) -> None:
    contents = words.to_bytes()
    assert Words.load(bytearray(contents)) == Words.load(memoryview(contents)) == words
    nothing: Any = None
    with pytest.raises(ConfigurationError, match="cannot write None"):
        words.save(nothing)


@pytest.mark.parametrize("more", [{"sizes": (1, 2)}, {3: "three"}, {"deep": [{1: 2}]}])
def test_a_provenance_that_a_file_would_change_is_refused(words: Words, more: Any) -> None:
    changed = replace(words, provenance=words.provenance | more)
    with pytest.raises(ConfigurationError, match="cannot be saved: provenance"):
        changed.to_bytes()
