"""Postings hold every word once, sorted, and follow the shards they were made of."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from made_index import best_first, made_index, rows_of, write_shard

from llavit_lens.corpus import postings as module
from llavit_lens.corpus.index import Index
from llavit_lens.corpus.postings import bring_up_to_date
from llavit_lens.corpus.word_index import WordIndex
from llavit_lens.errors import ConfigurationError


def folders(index: Index) -> list[str]:
    return sorted(path.name for path in (index.path / "postings").iterdir())


def words_of(folder: Path) -> list[tuple[float, ...]]:
    tables = [pq.read_table(file) for file in sorted(folder.glob("*.parquet"))]
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def count(index: Index) -> int:
    return WordIndex(index.path).find("dog", per="layer").total


def expected_count(index: Index) -> int:
    return len({row[2:5] for row in rows_of(index) if row.token < 4})


@pytest.mark.parametrize("rows_per_file", [2**26, 200])
def test_rows_are_sorted_and_runs_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_per_file: int
) -> None:
    monkeypatch.setattr(module, "FAN_IN", 2)
    monkeypatch.setattr(module, "ROWS_PER_FILE", rows_per_file)
    index = made_index(tmp_path / "i[1]*?'x", images=11, images_per_shard=2)
    bring_up_to_date(index)
    assert folders(index) == ["00000-00003", "00004-00005"]
    found = []
    for name in folders(index):
        words = words_of(index.path / "postings" / name)
        keys = [(row[0], *best_first(_row(row))) for row in words]
        assert keys == sorted(keys)
        found += words
    assert sorted(found) == sorted(rows_of(index))
    files = list((index.path / "postings").glob("*/*.parquet"))
    assert (len(files) == 2) == (rows_per_file > 200)
    assert count(index) == expected_count(index)


def _row(row: tuple[float, ...]):  # type: ignore[no-untyped-def]
    from made_index import Row

    return Row(*row)  # type: ignore[arg-type]


def test_new_shards_alone_are_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = made_index(tmp_path / "index", images=12, images_per_shard=4, shards=[0, 2])
    hits = WordIndex(index.path).find("dog")
    assert "The scan is not finished: 8 of 12 images are there." in hits.note
    assert count(index) == expected_count(index)
    made: list[list[int]] = []
    make = module._make
    monkeypatch.setattr(
        module,
        "_make",
        lambda i, shards, *rest: (made.append(list(shards)), make(i, shards, *rest))[1],
    )
    write_shard(index, 1)
    assert count(index) == expected_count(index) and made == [[1]]
    assert count(index) == expected_count(index) and made == [[1]]


def test_a_shard_that_was_written_anew_or_deleted_is_noticed(tmp_path: Path) -> None:
    index = made_index(tmp_path / "index")
    before = count(index)
    write_shard(index, 1, seed=7)
    assert count(index) == expected_count(index) != before
    for part in ("images", "layouts", "patches"):
        index.file(part, 0).unlink()
    assert count(index) == expected_count(index)
    assert folders(index) == ["00001-00001", "00002-00002"]


def test_a_copy_needs_no_new_postings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = made_index(tmp_path / "index")
    before = count(index)
    shutil.copytree(index.path, tmp_path / "copy", copy_function=shutil.copyfile)
    monkeypatch.setattr(module, "_make", None)  # would fail
    assert WordIndex(tmp_path / "copy").find("dog", per="layer").total == before


@pytest.mark.parametrize("harm", ["a file is gone", "half a file", "no record"])
def test_postings_that_are_not_whole_are_made_again(tmp_path: Path, harm: str) -> None:
    index = made_index(tmp_path / "index")
    before = count(index)
    run = index.path / "postings" / "00001-00001"
    file = next(run.glob("*.parquet"))
    if harm == "a file is gone":
        file.unlink()
    elif harm == "half a file":
        file.write_bytes(file.read_bytes()[:100])
    else:
        (run / "shards.json").unlink()
    assert count(index) == before


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    index = made_index(tmp_path / "index")
    count(index)
    file = next((index.path / "postings" / "00001-00001").glob("*.parquet"))
    file.write_bytes(b"\xff" * file.stat().st_size)
    with pytest.raises(ConfigurationError, match=r"postings: cannot be searched .* delete this"):
        count(index)
    shutil.rmtree(index.path / "postings")
    count(index)
    for part in ("patches", "images"):
        file = index.file(part, 2)
        whole = file.read_bytes()
        for bad in (whole[:200], b"", whole[:-8] + b"\0" * 8):
            file.write_bytes(bad)
            with pytest.raises(ConfigurationError, match=rf"{part}/00002.parquet: is damaged"):
                count(index)
        file.write_bytes(whole)
    file = index.file("patches", 2)
    whole = file.read_bytes()
    file.write_bytes(whole[:4] + b"\xff" * 300 + whole[304:])  # its footer is well
    shutil.rmtree(index.path / "postings")
    with pytest.raises(ConfigurationError, match=r"patches/00002.parquet: is damaged"):
        count(index)


def test_damage_beside_the_words_is_named_where_it_is(tmp_path: Path) -> None:
    index = made_index(tmp_path / "index")
    count(index)
    words = WordIndex(index.path)
    for file in (index.path / "strings.parquet", index.file("layouts", 1)):
        whole = file.read_bytes()
        file.write_bytes(whole[:-100])
        for ask in (lambda: words.find("dog", limit=999), words.newlines):
            if ask == words.newlines and "layouts" in str(file):
                continue  # reads no places
            with pytest.raises(ConfigurationError) as caught:
                ask()
            assert f"{file.parent.name}/{file.name}: is damaged" in str(caught.value)
            assert re.search(r"delete .* run the same|once it is deleted", str(caught.value))
        file.write_bytes(whole)


def test_a_full_disk_is_said_in_a_few_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message of DuckDB 2.0.1; older ones have the inner text alone."""
    inner = 'Could not write file \\"/a/b.parquet\\": No space left on device'
    message = (
        "IO Error: Async write failed for range [offset=27, size=983097]: "
        f'{{"exception_type":"IO","exception_message":"{inner}","errno":"28"}}'
    )
    index = made_index(tmp_path / "index", images=4)

    def fill(*_: object) -> None:
        raise duckdb.IOException(message)

    monkeypatch.setattr(module, "_copy", fill)
    note = WordIndex(index.path).find("dog").note
    assert note.endswith("postings/00000-00000: No space left on device).")
    message = 'IO Error: Could not write file "/a/b.parquet": No space left on device'
    assert WordIndex(index.path).find("dog").note == note


def test_shards_of_another_model_are_refused(tmp_path: Path) -> None:
    index = made_index(tmp_path / "index", shards=[0, 2])
    other = made_index(tmp_path / "other", model="another:one")
    for part in ("patches", "layouts", "images"):
        shutil.copy(other.file(part, 1), index.file(part, 1))
    with pytest.raises(ConfigurationError, match=r"00001.parquet: was written with another model"):
        count(index)


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such index"):
        WordIndex(tmp_path / "nothing")
    with pytest.raises(ConfigurationError, match="is no index"):
        WordIndex(tmp_path)
    index = made_index(tmp_path / "index", shards=[])
    assert "No shard is complete yet" in WordIndex(index.path).find("dog").note
    with pytest.raises(ConfigurationError, match="has no complete shard yet"):
        WordIndex(index.path).commonest()
    settings = json.loads((index.path / "index.json").read_text())
    (index.path / "index.json").write_text(json.dumps({**settings, "version": 99}))
    with pytest.raises(ConfigurationError, match="an index of version 99"):
        WordIndex(index.path)


def test_postings_of_another_version_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = made_index(tmp_path / "index", images=4)
    before = count(index)
    monkeypatch.setattr(module, "VERSION", 2)
    assert count(index) == before
    record = index.path / "postings" / "00000-00000" / "shards.json"
    assert json.loads(record.read_text())["version"] == 2


@pytest.mark.long
def test_a_killed_search_leaves_nothing_half_made(tmp_path: Path) -> None:
    """The process dies after each of its renames in turn."""
    index = made_index(tmp_path / "index", images=12, images_per_shard=2)
    program = (
        "import os, sys; sys.path[:0] = ['tests/support']\n"
        "from llavit_lens.corpus import postings\n"
        "from llavit_lens.corpus.index import read_index\n"
        "postings.FAN_IN = 2\n"
        "left, rename, discard = [int(sys.argv[1])], os.rename, postings._discard\n"
        "def die(act, *arguments):\n"
        "    left[0] -= 1\n"
        "    if left[0] < 0: os.kill(os.getpid(), 9)\n"
        "    return act(*arguments)\n"
        "os.rename = lambda *a: die(rename, *a)\n"
        "postings._discard = lambda *a: die(discard, *a)\n"
        f"postings.bring_up_to_date(read_index({str(index.path)!r}))\n"
    )
    for steps in (0, 2, 5, 9):
        done = subprocess.run([sys.executable, "-c", program, str(steps)], capture_output=True)
        assert done.returncode == -signal.SIGKILL
        assert count(index) == expected_count(index)
        shutil.rmtree(index.path / "postings" / "00000-00000", ignore_errors=True)
        for name in folders(index)[:2]:
            shutil.rmtree(index.path / "postings" / name)
    assert count(index) == expected_count(index)
    assert not [name for name in folders(index) if "unfinished" in name]
