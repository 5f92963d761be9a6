"""Images in tars: read where they lie, and no damage passes in silence."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from llavit_lens.corpus.sources import source_of
from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.images.open import open_image


def png(number: int) -> bytes:
    """Noise, of a size that tells the number."""
    pixels = np.random.default_rng(number).integers(0, 256, (20, 10 + number, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def tar(path: Path, members: dict[str, bytes] | list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, data in members.items() if isinstance(members, dict) else members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            file.addfile(header, io.BytesIO(data))
    return path


LONG = "x" * 200 + "/ä.png"


def test_members_in_their_order(tmp_path: Path) -> None:
    members = {"b.png": png(0), "b.json": b"{}", "._b.png": b"", LONG: png(1), "a.png": png(2)}
    images = source_of(tar(tmp_path / "a.tar", members))
    assert images.names == ["a.tar/b.png", f"a.tar/{LONG}", "a.tar/a.png"]
    again = source_of(**pickle.loads(pickle.dumps(images)).origin)
    assert again.fingerprint == images.fingerprint and images.remarks == []
    assert [again.read(i) for i in range(3)] == [png(0), png(1), png(2)]
    assert open_image(pickle.loads(pickle.dumps(images)).read(2)).size == (12, 20)


@pytest.mark.parametrize(
    "pattern", ["", "data-{000..002}.tar", "data-*.tar", "data-{000,001,002}.tar", "*"]
)
def test_several_tars_by_folder_range_or_pattern(tmp_path: Path, pattern: str) -> None:
    for number in (2, 0, 1):
        tar(tmp_path / f"data-00{number}.tar", {"a.png": png(number)})
    images = source_of(f"{tmp_path}/{pattern}")
    assert images.names == [f"data-00{number}.tar/a.png" for number in range(3)]
    assert [images.read(i) for i in range(3)] == [png(0), png(1), png(2)]
    assert source_of(**images.origin).fingerprint == images.fingerprint


def test_a_range_with_a_gap_is_refused(tmp_path: Path) -> None:
    for number in (1, 3):
        tar(tmp_path / f"{number}.tar", {"a.png": png(number)})
    with pytest.raises(ConfigurationError, match=r"2\.tar: no such file"):
        source_of(f"{tmp_path}/{{1..3}}.tar")
    for wrong in ("{3..1}", "{0..9999999}"):
        with pytest.raises(ConfigurationError, match="goes down or is too long"):
            source_of(f"{tmp_path}/{wrong}.tar")


def test_a_name_twice_in_a_tar_is_the_last_one_as_when_it_is_unpacked(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", [("a.png", png(0)), ("b.png", png(1)), ("a.png", png(2))])
    images = source_of(path)
    assert images.names == ["a.tar/b.png", "a.tar/a.png"]
    assert [images.read(i) for i in range(2)] == [png(1), png(2)]


@pytest.mark.parametrize("where", ["in the data", "in the header", "between two", "at the mark"])
def test_a_tar_that_is_cut_gives_what_lies_before(tmp_path: Path, where: str) -> None:
    path = tar(tmp_path / "a.tar", {f"{i}.png": png(i) for i in range(4)})
    with tarfile.open(path) as file:
        third = file.getmembers()[2]
        end = file.getmembers()[3].offset_data + len(png(3))
    cut, left = {
        "in the data": (third.offset_data + third.size - 1, 2),
        "in the header": (third.offset + 100, 2),
        "between two": (third.offset, 2),
        "at the mark": (-(-end // 512) * 512, 4),
    }[where]
    path.write_bytes(path.read_bytes()[:cut])
    tar(tmp_path / "b.tar", {"a.png": png(4)})
    images = source_of(tmp_path)
    assert images.names == [*(f"a.tar/{i}.png" for i in range(left)), "b.tar/a.png"]
    assert [images.read(i) for i in range(left + 1)] == [*map(png, range(left)), png(4)]
    (remark,) = images.remarks
    assert "a.tar: " in remark and f"only the {left} images before that" in remark


def test_a_damaged_header_is_no_end(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {f"{i}.png": png(i) for i in range(3)})
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as file:
        offset = file.getmembers()[1].offset
    data[offset + 10] ^= 1
    path.write_bytes(data)
    images = source_of(path)
    assert images.names == ["a.tar/0.png"]
    assert f"it is damaged at byte {offset}; only the 1 image before" in images.remarks[0]


def test_tars_joined_by_cat_are_said(tmp_path: Path) -> None:
    parts = [tar(tmp_path / f"{i}.tar", {f"{i}.png": png(i)}).read_bytes() for i in range(2)]
    (tmp_path / "both.tar").write_bytes(b"".join(parts))
    assert "is not read" in source_of(tmp_path / "both.tar").remarks[0]


def test_what_is_no_tar_of_images_is_refused_in_one_line(tmp_path: Path) -> None:
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress(tar(tmp_path / "a.tar", {"a.png": png(0)}).read_bytes()))
    with pytest.raises(ConfigurationError, match=r"is compressed.*gunzip"):
        source_of(packed)
    (tmp_path / "empty.tar").touch()
    (tmp_path / "text.tar").write_text("no tar" * 1000)
    tar(tmp_path / "none.tar", {"a.txt": b""})
    for name in ("empty.tar", "text.tar", "none.tar"):
        with pytest.raises(ConfigurationError, match=f"{name}: no image in it"):
            source_of(tmp_path / name)
    with pytest.raises(ConfigurationError, match="no such file"):
        source_of(tmp_path / "other.tar")


def test_a_tar_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    images = source_of(tar(tmp_path / "a.tar", {"a.png": png(0), "b.png": png(1)}))
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(ImageError, match=r"a\.tar/b\.png: its tar is shorter"):
        images.read(1)
    (tmp_path / "a.tar").unlink()
    with pytest.raises(ImageError, match="No such file"):
        images.read(1)
