"""`llavit-lens scan`: what it prints, and one line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import Program
from scans import write_images
from tiny import tiny_llavit, tiny_processor

from llavit_lens.corpus.index import read_index


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, and images of which two are none."""
    place = tmp_path_factory.mktemp("scan")
    tiny_llavit().save_pretrained(place / "model")
    tiny_processor().save_pretrained(place / "model")
    write_images(place / "photos", 4, bad="no image", worse="")
    return place


def test_a_folder(command: Program, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "photos.index"
    arguments = ("scan", folder / "photos", "--model", folder / "model", "--out", out)
    options = ("--layers", "0,-1", "-k", 2, "--words", " a, b,", "--images-per-shard", 4)
    code, printed, err = command(*arguments, *options)
    assert code == 0, err
    lines = printed.splitlines()
    assert lines[0].startswith("4 of 6 images are read, at ") and "2 could not be" in lines[0]
    assert lines[1].startswith(f"The index is {out} (") and "MB per image" in lines[1]
    assert lines[2] == f"Search it: llavit-lens find a {out}"
    assert lines[3] == f"All its words: llavit-lens words {out}"
    left_out, sorting = err.splitlines()[:2], err.splitlines()[2:]
    assert [line.split(":")[0] for line in left_out] == ["left out"] * 2
    assert len(sorting) == 1 and sorting[0].startswith("Sorting the words of photos.index")
    assert list((out / "postings").iterdir()), "a search finds its words sorted"
    settings = read_index(out).settings
    assert (settings.k, settings.layers, settings.tracked) == (2, [0, 3], ["a", "b"])
    code, printed, _ = command(*arguments, *options)  # again
    assert code == 0 and printed.startswith("4 of 6 images are read; 2 could not be")
    (out / "patches" / "00000.parquet").write_bytes(b"half")
    code, printed, err = command(*arguments, *options)
    assert code == 0, err
    assert "damaged, and are written anew: 1." in printed.splitlines()[1]
    code, printed, err = command(*arguments)
    assert code == 2 and "was begun with --layers 0,3, not 0,1,2,3; with -k 2, not 5" in err


def test_no_search_is_proposed_before_there_is_a_shard(
    command: Program, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    arguments = ("scan", folder / "photos", "--model", folder / "model", "--words", "a")
    code, printed, err = command(*arguments, "--out", tmp_path / "i")
    assert code == 0, err
    assert printed.startswith("0 of 6 images are read; 6 are for") and "llavit" not in printed


def test_many_bad_images_are_counted(command: Program, folder: Path, tmp_path: Path) -> None:
    photos = write_images(tmp_path / "p", 1, **{f"bad{n}": "" for n in range(23)})
    code, _, err = command(
        "scan", photos, "--model", folder / "model", "--out", tmp_path / "i", "-k", 1
    )
    lines = [line for line in err.splitlines() if line.startswith("left out")]
    assert code == 0 and len(lines) == 21
    assert lines[-1] == f"left out: 3 more; all are in {tmp_path / 'i' / 'images'}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{photos}/none"], "none"),
        (["{empty}"], "holds no images"),
        (["{photos}", "--words", "two words"], "is not one token"),
        (["{photos}", "--layers", "x"], "--layers 'x' is neither"),
        (["{photos}", "--lens", "input-similarity", "--layers", "1"], "reads layer 0 alone"),
    ],
)
def test_one_line_for_what_is_wrong(
    command: Program, folder: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    (tmp_path / "empty").mkdir()
    given = [one.format(photos=folder / "photos", empty=tmp_path / "empty") for one in arguments]
    out = tmp_path / "i"
    code, _, err = command("scan", *given, "--model", folder / "model", "--out", out)
    assert code == 2 and says in err and len(err.splitlines()) == 1
    assert not out.exists()


def test_no_image_that_can_be_read(command: Program, folder: Path, tmp_path: Path) -> None:
    photos = write_images(tmp_path / "p", 0, bad="no image")
    code, printed, err = command(
        "scan", photos, "--model", folder / "model", "--out", tmp_path / "i"
    )
    assert code == 2 and printed == "" and "the image cannot be read" in err
