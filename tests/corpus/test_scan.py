"""An index holds what the lens reads of each image by itself, whatever happens on the way."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scans import rows_of, write_images
from tiny_vlm import tiny_vlm
from transformers import AutoTokenizer

import llavit_lens as ll
from llavit_lens.corpus import index as index_module
from llavit_lens.corpus import scan as scan_module
from llavit_lens.corpus.index import read_index
from llavit_lens.corpus.reading import read_part, read_strings
from llavit_lens.corpus.rows import half
from llavit_lens.corpus.scan import scan
from llavit_lens.corpus.schema import PARTS
from llavit_lens.corpus.shards import complete_shards
from llavit_lens.corpus.sources import source_of
from llavit_lens.errors import ConfigurationError
from llavit_lens.images.open import pixel_sha256
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.vlm.vlm import VLM

SHARD = 3


@pytest.fixture(scope="module")
def vlm() -> VLM:
    return tiny_vlm("llavit")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images and one that is none, so three shards."""
    return write_images(tmp_path_factory.mktemp("photos"), 7, bad="no image")


@pytest.fixture(scope="module")
def index(vlm: VLM, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("indexes") / "index"
    scan(photos, vlm, out, k=3, words=["a"], images_per_shard=SHARD)
    return out


def test_each_row_is_what_the_lens_reads_of_the_image_alone(
    vlm: VLM, photos: Path, index: Path
) -> None:
    tables = rows_of(index)
    images, patches = tables["images"].set_index("image"), tables["patches"]
    assert images["source"].tolist() == [*(f"{n:03d}.png" for n in range(7)), "bad.png"]
    assert patches[["image", "layer", "patch"]].apply(tuple, axis=1).is_monotonic_increasing
    for number in range(7):
        words = logit_lens(vlm.trace(photos / f"{number:03d}.png"), k=3, tracked=["a"])
        rows = patches[patches["image"] == number]
        shape = words.ids.shape
        assert np.array_equal(np.stack(rows["ids"]).reshape(shape), words.ids)
        assert words.entropy is not None and words.tracked is not None
        for column, exact in (
            ("log_probabilities", words.values),
            ("entropy", words.entropy),
            ("tracked", words.tracked.values),
        ):
            found = np.array(rows[column].tolist(), np.float64).reshape(exact.shape)
            # float16 has 11 bits; the rest is float32, summed in another order in a batch
            assert (np.abs(found - exact) <= 2**-11 * np.abs(exact) + 1e-5).all()
        about = images.loc[number]
        assert (about["width"], about["height"]) == words.layout.image_size
        assert about["sha256"] == pixel_sha256(words.image) and pd.isna(about["error"])


def test_boxes_are_those_of_the_layout(vlm: VLM, photos: Path, index: Path) -> None:
    tables = rows_of(index)
    for number, about in tables["images"].iloc[:7].iterrows():
        layout = vlm.trace(photos / f"{number:03d}.png").layout
        shard = read_layouts(index, number // SHARD)
        rows = shard[shard["layout"] == about["layout"]]
        assert np.array_equal(rows[["x0", "y0", "x1", "y1"]], layout.boxes)
        assert np.array_equal(rows[["row", "col", "tile"]].T, [layout.row, layout.col, layout.tile])


def read_layouts(index: Path, shard: int) -> pd.DataFrame:
    return pd.read_parquet(index / "layouts" / f"{shard:05d}.parquet")


def test_images_of_one_size_share_a_layout(index: Path) -> None:
    assert rows_of(index)["images"]["layout"].tolist()[:3] == [0, 1, 2]
    assert read_layouts(index, 0)["layout"].nunique() == 3


def test_an_image_that_cannot_be_read_is_listed_and_passed_by(index: Path) -> None:
    bad = rows_of(index)["images"].iloc[7]
    assert "bad.png: not an image" in bad["error"]
    assert bad[["width", "height", "orientation", "sha256", "layout"]].isna().all()
    assert 7 not in set(rows_of(index)["patches"]["image"])


def test_strings_and_tokenizer_are_there_once(vlm: VLM, photos: Path, index: Path) -> None:
    texts = read_strings(read_index(index))
    words = logit_lens(vlm.trace(next(iter_images(index))))
    assert all(texts[token] == text for token, text in words.strings.items())

    assert (
        AutoTokenizer.from_pretrained(index / "tokenizer").get_vocab() == vlm.tokenizer.get_vocab()
    )


def iter_images(index: Path) -> Any:
    folder = Path(read_index(index).origin["images"])
    return iter(sorted(folder.glob("0*.png")))


def test_a_second_run_adds_nothing(vlm: VLM, photos: Path, index: Path) -> None:
    before = contents(index)
    report = scan(photos, vlm, index, k=3, words=["a"], images_per_shard=SHARD)
    assert contents(index) == before
    assert (report.images, report.read, len(report.bad), report.new) == (8, 7, 1, 0)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_shards_that_are_missing_are_written_as_they_were(
    vlm: VLM, photos: Path, index: Path
) -> None:
    before = contents(index)
    (index / "images" / "00001.parquet").unlink()
    (index / "patches" / "00002.parquet").write_bytes(b"half")
    (index / "images" / "00002.parquet").unlink()
    assert complete_shards(read_index(index)) == [0]
    report = scan(photos, vlm, index, k=3, words=["a"], images_per_shard=SHARD)
    assert contents(index) == before and report.new == 5


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("missing", [False, True])
def test_a_shard_whose_files_do_not_open_is_written_anew(
    vlm: VLM, photos: Path, index: Path, tmp_path: Path, part: str, missing: bool
) -> None:
    copy = Path(shutil.copytree(index, tmp_path / "i"))
    file = copy / part / "00001.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    if missing:
        shutil.rmtree(file.parent)
    report = scan(photos, vlm, copy, k=3, words=["a"], images_per_shard=SHARD)
    assert contents(copy) == contents(index)
    shards = 3 if missing else 1
    assert report.new == (8 if missing else 3) and report.read == 7
    assert report.damaged == (0 if missing and part == "images" else shards)


def test_a_damaged_shard_is_not_complete_until_it_is_written(
    vlm: VLM, photos: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(index, tmp_path / "i"))
    (copy / "patches" / "00001.parquet").write_bytes(b"half")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scan_module.Scan, "_lens_of", interrupted)
        begun = scan_module.Scan(source_of(photos), vlm, read_index(copy))
        begun.write_shard(1)
    assert complete_shards(read_index(copy)) == [0, 2]


def test_a_shard_of_others_that_is_damaged_is_theirs(
    vlm: VLM, photos: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(index, tmp_path / "i"))
    (copy / "images" / "00001.parquet").write_bytes(b"half")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    report = scan(photos, vlm, copy, k=3, words=["a"], images_per_shard=SHARD)
    assert (report.missing, report.new, report.damaged) == (3, 0, 0)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_rows_do_not_depend_on_the_batch(
    vlm: VLM, photos: Path, index: Path, tmp_path: Path, batch_size: int
) -> None:
    scan(
        photos,
        vlm,
        tmp_path / "i",
        k=3,
        words=["a"],
        images_per_shard=SHARD,
        batch_size=batch_size,
    )
    one, other = rows_of(index), rows_of(tmp_path / "i")
    for part in ("layouts", "images"):
        pd.testing.assert_frame_equal(one[part], other[part])
    assert np.array_equal(np.stack(one["patches"]["ids"]), np.stack(other["patches"]["ids"]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"k": 2}, "-k 3, not 2"),
        ({"words": None}, "--words a, not ''"),
        ({"layers": [0, 1]}, "--layers 0,1,2,3, not 0,1"),
        ({"prompt": "Why?"}, r"--prompt What is in the picture\?, not Why\?"),
        ({"images_per_shard": 4}, "--images-per-shard 3, not 4"),
        ({"lens": "input_similarity", "words": None}, "--lens logit_lens, not input_similarity"),
    ],
)
def test_other_settings_than_those_it_was_begun_with_are_refused(
    vlm: VLM, photos: Path, index: Path, options: dict[str, Any], says: str
) -> None:
    before = contents(index)
    usual: dict[str, Any] = {"k": 3, "words": ["a"], "images_per_shard": SHARD}
    with pytest.raises(ConfigurationError, match=f"was begun with .*{says}.*another name"):
        scan(photos, vlm, index, **(usual | options))
    assert contents(index) == before


def test_another_model_is_refused_by_its_weights(photos: Path, index: Path) -> None:
    other = tiny_vlm("llavit")
    other.model.lm_head.weight.data[3] += 1  # of the same name
    with pytest.raises(ConfigurationError, match="was begun with another model than now"):
        scan(photos, other, index, k=3, words=["a"], images_per_shard=SHARD)
    other.name = "tiny-other"
    with pytest.raises(ConfigurationError, match="the model tiny-llavit, not tiny-other"):
        scan(photos, other, index, k=3, words=["a"], images_per_shard=SHARD)


def test_another_list_is_refused(vlm: VLM, index: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"k": 3, "words": ["a"], "images_per_shard": SHARD}
    with pytest.raises(ConfigurationError, match="a list of 8 images, which now has 2"):
        scan(write_images(tmp_path / "two", 2), vlm, index, **options)
    with pytest.raises(ConfigurationError, match="other names in the list of images than now"):
        scan(write_images(tmp_path / "eight", 8), vlm, index, **options)


def test_an_index_of_another_version_is_refused(index: Path, tmp_path: Path) -> None:
    content = json.loads((index / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(content | {"version": 2}))
    with pytest.raises(ConfigurationError, match=r"version 2, and .* reads version 1; use"):
        read_index(tmp_path)


@pytest.mark.parametrize(
    "change", [{"settings": {}}, {"origin": 3}, {"settings": None}, {"model": 5}]
)
def test_a_damaged_index_json_is_refused(
    index: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    content = json.loads((index / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(content | change))
    with pytest.raises(ConfigurationError, match="was damaged or changed"):
        read_index(tmp_path)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("settings", {"k": 2}),
        ("settings", {"images": 99_999_999}),
        ("settings", {"layers": [0, -3]}),
        ("provenance", {"n_layers": "six"}),
    ],
)
def test_an_index_json_that_was_changed_by_hand_is_refused(
    index: Path, tmp_path: Path, part: str, change: dict[str, Any]
) -> None:
    content = json.loads((index / "index.json").read_text())
    content[part] |= change
    (tmp_path / "index.json").write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="changed by hand; put back"):
        read_index(tmp_path)


@pytest.mark.parametrize("links", [True, False])
def test_of_two_scans_begun_at_once_the_first_stays(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    first = read_index(index)
    folder = tmp_path / "i"
    other = replace(first, path=folder, settings=replace(first.settings, k=2))

    def meanwhile(_: Path) -> bool:
        folder.mkdir()
        (folder / "index.json").write_text(first.to_text())
        return False

    def no_links(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(index_module, "_has_other_things", meanwhile)
    if not links:
        monkeypatch.setattr(index_module.os, "link", no_links)
    with pytest.raises(ConfigurationError, match="-k 3, not 2"):
        index_module.begin(other)
    assert [path.name for path in folder.iterdir()] == ["index.json"]


def test_what_is_no_index_is_refused(tmp_path: Path, vlm: VLM, photos: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such index"):
        read_index(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="is no index"):
        read_index(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="is a file, not an index"):
        read_index(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="is a file; choose"):
        scan(photos, vlm, tmp_path / "file")
    with pytest.raises(ConfigurationError, match="with other things in it"):
        scan(photos, vlm, tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"k": 0},
        {"layers": 9},
        {"words": ["two words"]},
        {"words": "dog"},
        {"lens": "else"},
        {"images_per_shard": 0},
        {"batch_size": 0},
        {"lens": "input_similarity", "layers": [1]},
        {"lens": "input_similarity", "words": ["a"]},
    ],
)
def test_options_that_make_no_sense_write_nothing(
    vlm: VLM, photos: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError):
        scan(photos, vlm, tmp_path / "i", **options)
    assert not (tmp_path / "i").exists()


def test_no_image_at_all(vlm: VLM, tmp_path: Path) -> None:
    photos = write_images(tmp_path / "p", 0, bad="x", worse="y")
    with pytest.raises(ConfigurationError, match=r"none of the 2 images can be read.*bad\.png"):
        scan(photos, vlm, tmp_path / "i")


def test_an_image_that_the_model_does_not_take_is_passed_by(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm = tiny_vlm("llavit")
    prepare = vlm.prepare

    def picky(image: Any, prompt: str) -> Any:
        if getattr(image, "size", None) == (64, 64):
            raise ConfigurationError("does not take an image of 64 x 64 pixels")
        return prepare(image, prompt)

    monkeypatch.setattr(vlm, "prepare", picky)
    report = scan(photos, vlm, tmp_path / "i", images_per_shard=SHARD)
    assert [bad.source for bad in report.bad] == ["002.png", "005.png", "bad.png"]
    assert all("64 x 64" in bad.error for bad in report.bad[:2]) and report.read == 5


def test_cosines_have_a_column_of_their_own(vlm: VLM, photos: Path, tmp_path: Path) -> None:
    scan(photos, vlm, tmp_path / "i", lens="input_similarity")
    rows = rows_of(tmp_path / "i")["patches"]
    assert [*rows] == ["image", "layer", "patch", "ids", "cosines"] and set(rows["layer"]) == {0}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("damage", ["cut", "missing", "of another shard", "flipped"])
def test_a_damaged_file_is_named_with_what_to_do(
    index: Path, tmp_path: Path, part: str, damage: str
) -> None:
    copy = Path(shutil.copytree(index, tmp_path / "i"))
    file, other = (copy / part / f"{shard:05d}.parquet" for shard in (0, 1))
    data = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "missing":
        file.unlink()
    elif damage == "of another shard":
        shutil.copy(other, file)
    else:
        column = pq.read_metadata(file).row_group(0).column(0)
        # of a data page: old releases of PyArrow do not look at checksums of dictionaries
        start = column.dictionary_page_offset or column.data_page_offset
        data[start + column.total_compressed_size - 1] ^= 255
        file.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"00000\.parquet: is .*; delete .* again"):
        read_part(read_index(copy), part, 0)
    assert len(read_part(read_index(copy), part, 1)) > 0


def test_half_precision() -> None:
    values = -np.logspace(-8, 8, 1000, dtype=np.float32)
    rounded = half(values).astype(np.float64)
    error = np.abs(rounded - values)
    inside = values > -65504
    assert (error[inside] <= np.maximum(np.abs(values[inside]) * 2**-11, 2**-25)).all()
    assert np.isfinite(rounded).all() and (rounded[~inside] == -65504).all()
    assert half(np.array([-np.inf, 0.0], np.float32)).tolist() == [-np.inf, 0.0]


def test_reports_in_one_line(vlm: VLM, photos: Path, tmp_path: Path) -> None:
    report = ll.scan(photos, vlm, tmp_path / "i", progress=False)
    assert re.fullmatch(
        r"ScanReport\(tiny-llavit: 7 of 8 images, 1 bad, [\d.e+]+ images/s, [\d.e-]+ MB per image "
        r"in .*\)",
        repr(report),
    )
    assert report.size == sum(
        p.stat().st_size for part in PARTS for p in (tmp_path / "i" / part).iterdir()
    )
