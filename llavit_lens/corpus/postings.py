"""Postings: for each word the places where it is read, best first, so that a search reads little.

    INDEX/postings/00000-00015/shards.json                  of which shards, and their checksums
    INDEX/postings/00000-00015/00000000-00032063.parquet    words of these ids, in these shards

A row is a word among the k best of a patch at a layer: token, value, image, layer, patch, rank.
Rows are sorted by token and falling value, in small row groups: the least and largest token of each
stand in the file's footer, so that a word touches only its own.

Each shard gets postings of its own. Where `FAN_IN` neighbours have them, they are merged into one
run, `FAN_IN` such runs again, and so on: a search opens few files however large the corpus is. All
of it is derived, and may be deleted at any time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from llavit_lens.corpus.index import Index
from llavit_lens.corpus.schema import postings_folder
from llavit_lens.corpus.shards import check_shard, complete_shards, find_damage, stamp
from llavit_lens.corpus.sql import (
    ORDER,
    Query,
    connect,
    count_read,
    reason,
    words_in_files,
    words_in_shards,
)
from llavit_lens.disk import read_json, shown, write_folder_atomically
from llavit_lens.errors import ConfigurationError
from llavit_lens.printing import progress_bar

VERSION = 1
"""Of the postings; those of another version are made again."""

FAN_IN = 16
"""How many runs are merged into one."""

ROWS_PER_GROUP = 20_480
"""In a row group of a file of at most a thousand of them; in a larger one more."""

ROWS_PER_FILE = 2**26
"""A run of more rows has several files, each of a range of tokens."""

RECORD = "shards.json"
"""In the folder of a run: of which shards it is."""

_RUN = re.compile(r"(\d{5,})-(\d{5,})")
_FILE = re.compile(r"(\d{8,})-(\d{8,})\.parquet")


class NotWritten(ConfigurationError):
    """Postings cannot be written; a search does without."""


@dataclass(frozen=True)
class Run:
    """The postings of neighbouring shards.

    Attributes:
        folder: where they are.
        first, last: the shards.
        stamps: the checksum of each shard when they were made.
        read: how many of their images could be read.
    """

    folder: Path
    first: int
    last: int
    stamps: tuple[str, ...]
    read: int

    @property
    def shards(self) -> range:
        """Numbers of the shards."""
        return range(self.first, self.last + 1)

    def files(self, tokens: Sequence[int] | None = None) -> list[Path]:
        """Files that may hold these tokens; default: all."""
        names = sorted(self.folder.glob("*.parquet"))
        found = [(file, match) for file in names if (match := _FILE.fullmatch(file.name))]
        return [
            file
            for file, match in found
            if tokens is None or any(int(match[1]) <= token <= int(match[2]) for token in tokens)
        ]

    def fits(self, stamps: Mapping[int, str]) -> bool:
        """Whether its shards are still what they were."""
        return self.stamps == tuple(stamps.get(shard, "") for shard in self.shards)


@dataclass(frozen=True)
class Postings:
    """What there is to search.

    Attributes:
        runs: fit for a search; no shard is in two of them.
        rest: complete shards without postings.
        fault: why these have none; or "".
    """

    runs: list[Run]
    rest: list[int]
    fault: str = ""

    def queries(self, index: Index, tokens: Sequence[int] | None = None) -> list[Query]:
        """Queries whose rows together are all words of the complete shards, or these tokens."""
        files = [file for run in self.runs for file in run.files(tokens)]
        queries = []
        if files:
            query = words_in_files(files)
            queries.append(query if tokens is None else _only(query, tokens))
        if self.rest:
            query = words_in_shards(index, self.rest, tokens)
            queries.append(query if tokens is None else _only(query, tokens))
        return queries


def bring_up_to_date(index: Index) -> Postings:
    """Make the postings of complete shards that have none, merge runs, delete stale ones.

    Where the index cannot be written to, nothing is made; the search reads those shards themselves.

    Raises:
        ConfigurationError: a shard is damaged, or belongs to another index.
    """
    stamps = {shard: stamp(index, shard) for shard in complete_shards(index)}
    there = cover(index, stamps)
    fault = ""
    try:
        if there.rest and not os.access(index.path, os.W_OK):
            raise NotWritten(f"cannot write to {shown(index.path)}: no permission")
        steps = _steps(index, there, stamps)
        if there.rest:
            doing = f"Sorting the words of {shown(index.path.name)} by word, once"
            steps = iter(progress_bar(steps, doing, len(there.rest)))
        for _ in steps:
            pass
    except NotWritten as error:
        fault = str(error)
    there = cover(index, stamps)
    for shard in there.rest:
        check_shard(index, shard)
    return Postings(there.runs, there.rest, fault)


def cover(index: Index, stamps: Mapping[int, str]) -> Postings:
    """The fit runs that are there, longest first, and the shards that none covers."""
    runs: list[Run] = []
    left = set(stamps)
    there = [run for run in _runs(index) if run.fits(stamps)]
    for run in sorted(there, key=lambda run: (-len(run.shards), run.first)):
        if left.issuperset(run.shards):
            runs.append(run)
            left.difference_update(run.shards)
    return Postings(sorted(runs, key=lambda run: run.first), sorted(left))


def _steps(index: Index, there: Postings, stamps: Mapping[int, str]) -> Iterator[None]:
    """Make what is missing, a step for each shard; then tidy up."""
    runs = {run.first: run for run in there.runs}
    for shard in there.rest:
        check_shard(index, shard)
        runs[shard] = _make(index, [shard], stamps)
        _merge_around(index, shard, runs, stamps)
        yield
    for first in list(runs):  # a killed process may have left neighbours unmerged
        _merge_around(index, first, runs, stamps)
    used = {run.folder for run in runs.values()}
    new = set(complete_shards(index)).difference(stamps)  # others may search these already
    for folder in _folders(index):
        if folder not in used and new.isdisjoint(_shards_of(folder)):
            _discard(folder)


def _merge_around(
    index: Index, shard: int, runs: dict[int, Run], stamps: Mapping[int, str]
) -> None:
    """Merge the neighbours of a shard where all of them are there, then their neighbours."""
    size = FAN_IN
    while True:
        window = range(shard // size * size, (shard // size + 1) * size)
        parts = [runs[start] for start in window if start in runs]
        if sum(len(run.shards) for run in parts) < size:
            return
        if len(parts) > 1:
            merged = _make(index, window, stamps, parts)
            for run in parts:
                del runs[run.first]
                _discard(run.folder)
            runs[merged.first] = merged
        size *= FAN_IN


def _discard(folder: Path) -> None:
    """Delete a run; one of which a part is left is none."""
    (folder / RECORD).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _make(
    index: Index, shards: Sequence[int], stamps: Mapping[int, str], parts: Sequence[Run] = ()
) -> Run:
    """Write a run of these shards: from runs that have their rows, or from the shards.

    Raises:
        NotWritten: the disk is full, or the like.
        ConfigurationError: a shard is damaged.
    """
    target = postings_folder(index.path) / f"{shards[0]:05d}-{shards[-1]:05d}"
    try:
        with write_folder_atomically(target) as folder:
            content = {
                "version": VERSION,
                "fingerprint": index.settings.fingerprint,
                "stamps": [stamps[shard] for shard in shards],
                "read": _fill(folder, index, shards, parts),
                "bytes": {file.name: file.stat().st_size for file in folder.glob("*.parquet")},
            }
            (folder / RECORD).write_text(json.dumps(content) + "\n")
    except duckdb.Error as error:
        if not parts:
            find_damage(index, shards)
        raise NotWritten(f"cannot write {shown(target)}: {reason(error)}") from error
    except ConfigurationError as error:  # of the folder: nothing else in there raises it
        raise NotWritten(str(error)) from error
    run = _run(index, target)
    if run is None:
        raise NotWritten(f"cannot write {shown(target)}: another process writes there")
    return run


def _fill(folder: Path, index: Index, shards: Sequence[int], parts: Sequence[Run]) -> int:
    """Write the words; returns how many images could be read."""
    spill = folder / "spill"
    with connect(spill) as connection:
        if parts:
            read = sum(run.read for run in parts)
            _merge(connection, [file for run in parts for file in run.files()], folder)
        else:
            read = count_read(connection, index, shards)
            _copy(connection, words_in_shards(index, shards), folder / _name(0, 2**31 - 1))
    shutil.rmtree(spill, ignore_errors=True)
    return read


def _merge(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], folder: Path) -> None:
    """Write the rows of sorted files again, by ranges of tokens of about `ROWS_PER_FILE`."""
    rows = words_in_files(files)
    counts = connection.execute(
        f"SELECT token, count(*) FROM ({rows.text}) GROUP BY token ORDER BY token", rows.values
    ).fetchall()
    first, inside = 0, 0
    for place, (token, count) in enumerate(counts):
        inside += count
        if place + 1 == len(counts) or inside + counts[place + 1][1] > ROWS_PER_FILE:
            some = Query(
                f"SELECT * FROM ({rows.text}) WHERE token BETWEEN ? AND ?",
                [*rows.values, first, token],
            )
            group = max(ROWS_PER_GROUP, inside // 1000)
            _copy(connection, some, folder / _name(first, token), group)
            first, inside = token + 1, 0


def _copy(
    connection: duckdb.DuckDBPyConnection, rows: Query, file: Path, group: int = ROWS_PER_GROUP
) -> None:
    name = str(file).replace("'", "''")  # COPY takes no parameter for the name of its file
    connection.execute(
        f"COPY (SELECT * FROM ({rows.text}) ORDER BY token, {ORDER}) TO '{name}' "
        f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group})",
        rows.values,
    )


def _only(query: Query, tokens: Sequence[int]) -> Query:
    """The rows of these tokens."""
    marks = ", ".join("?" for _ in tokens)
    return Query(f"SELECT * FROM ({query.text}) WHERE token IN ({marks})", [*query.values, *tokens])


def _name(first: int, last: int) -> str:
    return f"{first:08d}-{last:08d}.parquet"


def _folders(index: Index) -> list[Path]:
    folder = postings_folder(index.path)
    names = sorted(folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if _RUN.fullmatch(name.name)]


def _shards_of(folder: Path) -> range:
    first, last = map(int, folder.name.split("-"))
    return range(first, last + 1)


def _runs(index: Index) -> list[Run]:
    found = (_run(index, folder) for folder in _folders(index))
    return [run for run in found if run is not None]


def _run(index: Index, folder: Path) -> Run | None:
    """The run in a folder; None if it is not of this index and version, or not whole."""
    try:
        content = read_json(folder / RECORD)
        if (content["version"], content["fingerprint"]) != (VERSION, index.settings.fingerprint):
            return None
        if any((folder / name).stat().st_size != size for name, size in content["bytes"].items()):
            return None
        shards, stamps = _shards_of(folder), tuple(map(str, content["stamps"]))
        return Run(folder, shards[0], shards[-1], stamps, int(content["read"]))
    except (ConfigurationError, KeyError, TypeError, ValueError, AttributeError, OSError):
        return None
