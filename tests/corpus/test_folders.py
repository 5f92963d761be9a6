"""Folders of images: what is found, in which order, and under which names."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from PIL import Image

from llavit_lens.corpus.sources import source_of
from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.images.open import open_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six files, four of which are images by their names, one of these broken."""
    for name in ("b.png", "a/10.JPG", "a/9.jpg", ".hidden/c.png", "._b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 3), "red").save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "broken.webp").write_bytes(b"RIFF")
    return tmp_path


def test_images_of_all_folders_in_the_order_of_their_paths(folder: Path) -> None:
    images = source_of(folder)
    assert images.names == ["a/10.JPG", "a/9.jpg", "b.png", "broken.webp"]
    assert len(images) == 4 and images.remarks == []
    assert open_image(images.read(0)).size == (4, 3)
    with pytest.raises(ImageError, match=r"broken\.webp"):
        open_image(images.read(3))


def test_the_same_list_again_wherever_it_is_called_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = source_of(folder)
    monkeypatch.chdir(folder.parent)
    near = source_of(folder.name)
    again = source_of(**pickle.loads(pickle.dumps(near)).origin)
    monkeypatch.chdir("/")
    assert again.fingerprint == near.fingerprint == images.fingerprint
    assert [near.read(i) for i in range(4)] == [images.read(i) for i in range(4)]
    (folder / "a" / "9.jpg").rename(folder / "a" / "8.jpg")
    assert source_of(folder).fingerprint != images.fingerprint


def test_the_fingerprint_knows_where_a_name_ends(tmp_path: Path) -> None:
    for folder, names in (("one", ["a.png", "b.png"]), ("two", ["a.pngb.png"])):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    assert source_of(tmp_path / "one").fingerprint != source_of(tmp_path / "two").fingerprint


def test_links_are_followed_and_loops_end(folder: Path) -> None:
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "again").symlink_to(folder / "a")
    (folder / "z.png").symlink_to(folder / "b.png")
    (folder / "nowhere.png").symlink_to(folder / "no such file")
    (folder / "self.png").symlink_to(folder / "self.png")
    images = source_of(folder)
    names = ["a/10.JPG", "a/9.jpg", "b.png", "broken.webp", "nowhere.png", "self.png", "z.png"]
    assert images.names == names
    assert open_image(images.read(6)).size == (4, 3)
    with pytest.raises(ImageError, match="leads nowhere"):
        open_image(images.read(4))


def test_a_name_that_is_not_utf8_is_shown_and_still_read(folder: Path) -> None:
    odd = os.path.join(os.fsencode(folder), b"caf\xe9.png")
    Image.new("RGB", (4, 3)).save(os.fsdecode(odd))
    images = source_of(folder)
    place = images.names.index("caf\\xe9.png")
    assert open_image(images.read(place)).size == (4, 3)
    assert open_image(pickle.loads(pickle.dumps(images)).read(place)).size == (4, 3)
    Image.new("RGB", (4, 3)).save(folder / "caf\\xe9.png")
    with pytest.raises(ConfigurationError, match="two images have the name"):
        source_of(folder)


def test_a_folder_that_cannot_be_read_is_no_folder_without_images(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ConfigurationError, match=r"a: cannot be read \(Permission denied\)"):
        source_of(folder)


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigurationError, match="holds no images"):
        source_of(tmp_path)
