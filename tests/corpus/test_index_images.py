"""Images of an index are opened where they were, or it is said why not, in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_hits import painted

from llavit_lens.corpus import index_images
from llavit_lens.corpus.index import Index, Settings
from llavit_lens.corpus.index_images import (
    CHANGED,
    ELSEWHERE,
    GONE,
    UNKNOWN,
    UNREADABLE,
    IndexImages,
)
from llavit_lens.corpus.schema import IMAGES, IMAGES_SCHEMA, settings_file
from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.images.open import pixel_sha256

NAMES = ["a.png", "b.png", "sub/c.png", "d.png", "bad.png"]
BAD = 2


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Of five images in shards of two, the last one unreadable."""
    folder, photos = tmp_path / "index", tmp_path / "photos"
    names = sorted(NAMES)
    assert names.index("bad.png") == BAD
    for number, name in enumerate(names):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        painted(4, 3, number).save(photos / name)
    settings = Settings(
        weights="", processor="", dtype="", vocabulary=9, lens="logit_lens", layers=[0], k=1,
        prompt="", tracked=[], tracked_ids=[], images=5, names="", images_per_shard=2,
    )  # fmt: skip
    begun = Index(folder, settings, "m", {"images": str(photos)})
    (folder / IMAGES).mkdir(parents=True)
    settings_file(folder).write_text(begun.to_text())
    for shard in range(3):
        rows = [
            {
                "image": number, "source": names[number],
                "sha256": None if number == BAD else pixel_sha256(painted(4, 3, number)),
            }
            for number in begun.images_of(shard)
        ]  # fmt: skip
        columns = [IMAGES_SCHEMA.field(name) for name in ("image", "source", "sha256")]
        table = pa.Table.from_pylist(rows, schema=pa.schema(columns))
        pq.write_table(table, begun.file(IMAGES, shard))
    return folder


def said(images: IndexImages, number: int) -> str:
    with pytest.raises(ImageError) as caught:
        images.open(number)
    return str(caught.value)


def test_each_number_is_its_image(index: Path) -> None:
    images = IndexImages(index)
    names = sorted(NAMES)
    for number in (4, 0, 1, 3):
        assert images.name(number) == names[number]
        assert images.open(number).tobytes() == painted(4, 3, number).tobytes()
    assert said(images, BAD) == UNREADABLE  # when it was scanned
    assert said(images, 5) == said(images, 10**9) == UNREADABLE and images.name(5) == ""


def test_a_folder_is_not_walked_to_open_one_image(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_images, "source_of", None)
    assert IndexImages(index).open(4).tobytes() == painted(4, 3, 4).tobytes()


def test_other_images_that_came_or_went_do_not_matter(index: Path) -> None:
    photos = index.parent / "photos"
    (photos / "a.png").unlink()
    for name in ("0.png", "00.png", "z.png"):
        painted(4, 3, 2).save(photos / name)
    images = IndexImages(index)
    assert images.open(3).tobytes() == painted(4, 3, 3).tobytes()
    assert said(images, 0) == GONE


def test_an_image_that_changed_or_broke(index: Path) -> None:
    photos = index.parent / "photos"
    painted(4, 3, 0).rotate(90).save(photos / "b.png")
    (photos / "d.png").write_bytes(b"no image")
    images = IndexImages(index)
    assert said(images, 1) == CHANGED and said(images, 3) == UNREADABLE
    images = IndexImages(index)
    assert images.open(0)
    (photos / "a.png").unlink()  # after the list was made
    assert said(images, 0) == GONE


def test_images_that_moved(index: Path) -> None:
    photos = index.parent / "photos"
    elsewhere = photos.rename(index.parent / "elsewhere")
    assert said(IndexImages(index), 0) == ELSEWHERE
    assert IndexImages(index, elsewhere).open(0).tobytes() == painted(4, 3, 0).tobytes()
    text = settings_file(index).read_text()
    settings_file(index).write_text(json.dumps({**json.loads(text), "origin": {}}))
    assert said(IndexImages(index), 0) == UNKNOWN


def test_no_index(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such index"):
        IndexImages(tmp_path / "nope")
