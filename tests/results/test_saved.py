"""Results beside `Words`: what comes back is what was saved, or one clear error."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import tiny_image
from tiny_vlm import tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.open import pixel_sha256
from llavit_lens.interventions.restore import restore_map
from llavit_lens.lens.attention import attention_patterns
from llavit_lens.results import attention_patterns_file, restore_map_file
from llavit_lens.results.attention_patterns import AttentionPatterns
from llavit_lens.results.restore_map import RestoreMap
from llavit_lens.results.result import Result
from llavit_lens.results.words import Words

NAMES = ("patterns", "map")
FORMATS = {"patterns": attention_patterns_file.FORMAT, "map": restore_map_file.FORMAT}


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    vlm = tiny_vlm("llavit")
    images = [tiny_image(seed) for seed in (0, 1)]
    answer = "a" if vlm.generate(images[0], max_new_tokens=1) != "a" else "b"
    clean = [*images]
    try:
        restored = restore_map(vlm, *clean, "What?", answer, layers=[0, 1], progress=False)
    except ConfigurationError:  # the answer is likelier on the other image
        clean.reverse()
        restored = restore_map(vlm, *clean, "What?", answer, layers=[0, 1], progress=False)
    queries: list[Any] = ["last", (1, 2), 0]
    return {
        "patterns": attention_patterns(vlm, images[0], "What?", heads=[1, 0], queries=queries),
        "map": restored,
        "images": images,
        "clean": clean,
    }


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def result(name: str, results: dict[str, Any]) -> Any:
    return results[name]


def refused_or_equal(data: bytes, result: Result) -> bool:
    """Whether the bytes are refused, in one line; if not, they hold the same result."""
    try:
        loaded = type(result).load(data)
    except ConfigurationError as error:
        assert "\n" not in str(error) and len(str(error)) < 600
        return True
    assert loaded == result
    return False


def test_a_file_comes_back_as_it_was(result: Any, tmp_path: Path) -> None:
    result.save(tmp_path / "r.parquet")
    loaded = type(result).load(tmp_path / "r.parquet")
    assert loaded == result and loaded.provenance == result.provenance
    assert (tmp_path / "r.parquet").read_bytes() == result.to_bytes() == loaded.to_bytes()
    pd.testing.assert_frame_equal(loaded.to_pandas(), result.to_pandas())
    assert repr(loaded) == repr(result)


def test_one_line_says_what_it_is(results: dict[str, Any]) -> None:
    patterns, restored = results["patterns"], results["map"]
    model = patterns.model
    assert repr(patterns) == (
        f"AttentionPatterns({model}, {len(patterns.layers)} layers x 2 heads x 3 queries, "
        "16 visual tokens)"
    )
    assert repr(restored) == (
        f"RestoreMap(resid_pre of {model}, answer '{restored.answer}', 2 layers x "
        f"{len(restored.places)} places)"
    )


def test_tables_say_image_model_and_prompt(results: dict[str, Any]) -> None:
    for name, image in (("patterns", results["images"][0]), ("map", results["clean"][0])):
        table = results[name].to_pandas()
        assert list(table.columns[-3:]) == ["image", "model", "prompt"]
        assert set(table["image"]) == {pixel_sha256(image)[:12]}
        assert set(table["model"]) == {results[name].model}
        assert "What?" in table["prompt"][0]
    corrupted = results["map"].to_pandas()["corrupted_image"]
    assert set(corrupted) == {pixel_sha256(results["clean"][1])[:12]}


def test_equality_sees_every_part(results: dict[str, Any]) -> None:
    patterns, restored = results["patterns"], results["map"]
    assert patterns == replace(patterns, image=None)
    assert patterns != replace(patterns, weights=patterns.weights / 2)
    assert patterns != replace(patterns, queries=patterns.queries[::-1])
    assert patterns != replace(patterns, prompt="x")
    assert restored == replace(restored, clean_image=None, corrupted_image=None)
    first, *others = restored.places
    assert restored != replace(restored, places=[first._replace(tokens=first.tokens + 1), *others])
    assert restored != replace(restored, clean=0.0)
    assert patterns != restored


def test_files_of_another_result_are_refused(results: dict[str, Any]) -> None:
    for kind, data in (
        (Words, results["patterns"].to_bytes()),
        (RestoreMap, results["patterns"].to_bytes()),
        (AttentionPatterns, results["map"].to_bytes()),
    ):
        with pytest.raises(ConfigurationError, match=rf"not a file that .*{kind.__name__}\.save"):
            kind.load(data)


def test_flipped_and_cut_bytes_never_change_a_result(result: Any) -> None:
    contents, chance = result.to_bytes(), random.Random(0)
    for _ in range(150):
        damaged = bytearray(contents)
        damaged[chance.randrange(len(contents))] ^= 1 << chance.randrange(8)
        assert refused_or_equal(bytes(damaged), result)
    for length in [0, 4, 12, *(chance.randrange(len(contents)) for _ in range(20))]:
        assert refused_or_equal(contents[:length], result)


def resealed(
    name: str, contents: bytes, change: Callable[[pa.Table, dict[str, Any]], pa.Table | None]
) -> bytes:
    """A file with another table and description, and a checksum that fits."""
    table = pq.read_table(pa.BufferReader(contents))
    key = FORMATS[name].key.encode()
    metadata = dict(table.schema.metadata)
    description = json.loads(metadata[key])
    changed = change(table, description)
    metadata[key] = json.dumps(description).encode()
    changed = (table if changed is None else changed).replace_schema_metadata(metadata)
    file = io.BytesIO()
    pq.write_table(changed, file)
    return FORMATS[name].seal(file.getvalue())


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), pa.field(name, values.type), values)


def flat(table: pa.Table, name: str) -> np.ndarray:
    column = table[name].combine_chunks()
    is_list = isinstance(column.type, pa.FixedSizeListType)
    values: np.ndarray = (column.flatten() if is_list else column).to_numpy().copy()
    return values


COMMON: dict[str, Callable[[pa.Table, dict[str, Any]], pa.Table | None]] = {
    "a row missing": lambda t, d: t.slice(1),
    "rows reversed": lambda t, d: t.take(pa.array(np.arange(len(t))[::-1])),
    "layers reversed": lambda t, d: d.update(layers=d["layers"][::-1]),
    "layers twice": lambda t, d: d.update(layers=[0] * len(d["layers"])),
    "layers as texts": lambda t, d: d.update(layers=[str(n) for n in d["layers"]]),
    "a layer too deep": lambda t, d: d.update(n_layers=1),
    "format": lambda t, d: d.update(format=2),
    "format a truth": lambda t, d: d.update(format=True),
    "more": lambda t, d: d.update(more=1),
    "less": lambda t, d: d.pop("provenance") and None,
    "no layout": lambda t, d: d.update(layout={}),
    "rows of the layout": lambda t, d: d["layout"].update(row=[9] * 16),
    "image_sha256": lambda t, d: d["provenance"].update(image_sha256="x"),
    "a column more": lambda t, d: t.append_column("more", t["layer"]),
    "layers of rows": lambda t, d: with_column(t, "layer", pa.array(flat(t, "layer") + 1)),
}
OF_PATTERNS: dict[str, Callable[[pa.Table, dict[str, Any]], pa.Table | None]] = {
    "heads reversed": lambda t, d: d.update(heads=d["heads"][::-1]),
    "queries reversed": lambda t, d: d.update(queries=d["queries"][::-1]),
    "no queries": lambda t, d: d.update(queries=[]),
    "a query short": lambda t, d: d.update(queries=[q[:4] for q in d["queries"]]),
    "a query null": lambda t, d: d.update(queries=[[None, *q[1:]] for q in d["queries"]]),
    "a query off the prompt": lambda t, d: d.update(n_tokens=1),
    "a patch that is not there": lambda t, d: d.update(
        queries=[[*q[:4], 99] for q in d["queries"]]
    ),
    "negative weights": lambda t, d: with_column(
        t, "weight", pa.FixedSizeListArray.from_arrays(pa.array(-flat(t, "weight") - 1), 16)
    ),
    "shares NaN": lambda t, d: with_column(
        t, "share_on_visual", pa.array(flat(t, "share_on_visual") * np.float32("nan"))
    ),
}
OF_MAPS: dict[str, Callable[[pa.Table, dict[str, Any]], pa.Table | None]] = {
    "places reversed": lambda t, d: d.update(places=d["places"][::-1]),
    "no places": lambda t, d: d.update(places=[]),
    "a place short": lambda t, d: d.update(places=[p[:3] for p in d["places"]]),
    "a place without tokens": lambda t, d: d.update(
        places=[[*p[:2], [], p[3]] for p in d["places"]]
    ),
    "tokens below 0": lambda t, d: d.update(places=[[*p[:2], [-1], p[3]] for p in d["places"]]),
    "clean a text": lambda t, d: d.update(clean="0"),
    "clean NaN": lambda t, d: d.update(clean=float("nan")),
    "a name": lambda t, d: d.update(places=[[p[0], "x", *p[2:]] for p in d["places"]]),
    "NaN": lambda t, d: with_column(t, "log_prob", pa.array(flat(t, "log_prob") * np.nan)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "edit"),
    [(name, edit) for name in NAMES for edit in COMMON]
    + [("patterns", edit) for edit in OF_PATTERNS]
    + [("map", edit) for edit in OF_MAPS],
)
def test_edited_files_are_refused(name: str, edit: str, results: dict[str, Any]) -> None:
    result, edits = results[name], {**COMMON, **(OF_MAPS if name == "map" else OF_PATTERNS)}
    contents = result.to_bytes()
    assert refused_or_equal(resealed(name, contents, lambda t, d: None), result) is False
    assert refused_or_equal(resealed(name, contents, edits[edit]), result)


def test_what_could_not_be_loaded_is_not_saved(results: dict[str, Any], tmp_path: Path) -> None:
    patterns, restored = results["patterns"], results["map"]
    for wrong in (
        replace(patterns, weights=patterns.weights.astype(np.float64)),
        replace(patterns, share_on_visual=patterns.share_on_visual[:1]),
        replace(patterns, provenance={"seconds": {1, 2}}),
        replace(patterns, prompt="\ud800", provenance={"sizes": (1, 2)}),
        replace(restored, restored=restored.restored.astype(np.float32)),
        replace(restored, restored=restored.restored * np.nan),
        replace(restored, clean=float("inf")),
    ):
        with pytest.raises(ConfigurationError):
            wrong.save(tmp_path / "w.parquet")
    assert not list(tmp_path.iterdir())


def test_loaded_patterns_are_drawn_on_their_image_and_no_other(results: dict[str, Any]) -> None:
    patterns, (image, other) = results["patterns"], results["images"]
    loaded = AttentionPatterns.load(patterns.to_bytes())
    with pytest.raises(ConfigurationError, match="pass it as image="):
        loaded.plot()
    with pytest.raises(ConfigurationError, match="other pixels"):
        loaded.plot(image=other)
    texts = [[text.get_text() for text in p.plot(image=image).texts] for p in (patterns, loaded)]
    assert texts[0] == texts[1]


def test_a_long_name_of_a_model_stays_on_the_page(results: dict[str, Any]) -> None:
    name = "/data/" + "very-long-name-of-a-folder/" * 12 + "first"
    figure = replace(results["patterns"], model=name, prompt="x" * 300).plot()
    assert all(text.get_window_extent().x1 < figure.bbox.x1 for text in figure.texts)
    assert any(name in text.get_text().replace("\n", "") for text in figure.texts)


def test_a_loaded_map_is_drawn_on_its_images_and_no_others(results: dict[str, Any]) -> None:
    clean, corrupted = results["clean"]
    loaded = RestoreMap.load(results["map"].to_bytes())
    with pytest.raises(ConfigurationError, match="pass it as clean_image="):
        loaded.plot()
    with pytest.raises(ConfigurationError, match="pass it as corrupted_image="):
        loaded.plot(clean_image=clean)
    with pytest.raises(ConfigurationError, match="corrupted_image= is not the one that was read"):
        loaded.plot(clean_image=clean, corrupted_image=clean)
    assert loaded.plot(clean_image=clean, corrupted_image=corrupted).axes


def test_queries_may_be_numbers_of_numpy(tmp_path: Path) -> None:
    vlm = tiny_vlm("llavit")
    queries = [np.int64(0), (np.int64(1), 2)]
    patterns = attention_patterns(vlm, tiny_image(), "What?", queries=queries)
    assert patterns == attention_patterns(vlm, tiny_image(), "What?", queries=[0, (1, 2)])
    patterns.save(tmp_path / "p.parquet")
    assert AttentionPatterns.load(tmp_path / "p.parquet") == patterns


def test_a_result_with_an_array_is_not_one_without(result: Any) -> None:
    name = "weights" if isinstance(result, AttentionPatterns) else "restored"
    assert replace(result, **{name: None}) != result
    assert result != replace(result, **{name: None})


@pytest.mark.parametrize("name", ["patterns"])
@pytest.mark.parametrize("wrong", [[], 3, "\ud800"])
def test_a_name_of_a_model_is_text(result: Any, wrong: Any) -> None:
    for field in ("model", "prompt"):
        changed = replace(result, provenance=result.provenance | {field: wrong})
        with pytest.raises(ConfigurationError, match=f"a {field} that is no text"):
            changed.to_bytes()
