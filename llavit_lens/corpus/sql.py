"""DuckDB over the files of an index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from llavit_lens.corpus.index import Index
from llavit_lens.corpus.schema import IMAGES, LAYOUTS, PATCHES, VALUES
from llavit_lens.errors import one_line

ORDER = "value DESC, image, layer, patch, rank, token"
"""Best first. What is equal comes in the order of the images, then of layers and patches."""


def folded(column: str) -> str:
    """The text of a token as words are compared: composed, in lower case, no spaces around it."""
    return f"lower(trim(nfc_normalize({column})))"


class Query(NamedTuple):
    """A SELECT, and the values of its question marks."""

    text: str
    values: list[Any]


def connect(spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A database in memory. What does not fit there goes to the folder `spill`, if one is given."""
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET temp_directory = ?", ["" if spill is None else str(spill)])
    return connection


def paths(files: Iterable[Path]) -> list[str]:
    """File names for `read_parquet(?)`, which takes * ? [ for patterns."""
    return [re.sub(r"[*?\[]", r"[\g<0>]", str(file)) for file in files]


def words_in_files(files: Sequence[Path]) -> Query:
    """The rows of postings: token, value, image, layer, patch, rank."""
    return Query(
        "SELECT token, value, image, layer, patch, rank "
        "FROM read_parquet(?, hive_partitioning = false)",
        [paths(files)],
    )


def words_in_shards(
    index: Index, shards: Sequence[int], tokens: Sequence[int] | None = None
) -> Query:
    """The same rows, derived from shards: one for each of the k words of each patch and layer.

    Patches that show padding alone are left out.

    Args:
        index: whose shards they are.
        shards: complete ones, at least one.
        tokens: ids that are looked for; default: all.
    """
    size, k = index.settings.images_per_shard, index.settings.k
    some = "" if tokens is None else "WHERE list_has_any(ids, ?::INTEGER[])"
    text = f"""
        SELECT unnest(p.ids) AS token, unnest(p.value) AS value, p.image, p.layer, p.patch,
            unnest(range({k}))::SMALLINT AS rank
        FROM (
            SELECT image, layer, patch, ids, {VALUES[index.settings.lens]}::FLOAT[] AS value
            FROM read_parquet(?, hive_partitioning = false) {some}
        ) AS p
        JOIN read_parquet(?, hive_partitioning = false) AS i ON i.image = p.image
        JOIN (
            SELECT layout, patch, parse_filename(filename, true)::BIGINT AS shard
            FROM read_parquet(?, hive_partitioning = false, filename = true) WHERE on_image
        ) AS l ON l.shard = p.image // {size} AND l.layout = i.layout AND l.patch = p.patch
    """
    patches, images, layouts = (
        paths(index.file(part, shard) for shard in shards) for part in (PATCHES, IMAGES, LAYOUTS)
    )
    wanted = [] if tokens is None else [list(tokens)]
    return Query(text, [patches, *wanted, images, layouts])


def together(queries: Sequence[Query]) -> Query:
    """The rows of all of them."""
    text = " UNION ALL ".join(f"({query.text})" for query in queries)
    return Query(text, [value for query in queries for value in query.values])


def count(connection: duckdb.DuckDBPyConnection, query: Query) -> int:
    """The one number that a query returns."""
    [(number,)] = connection.execute(query.text, query.values).fetchall()
    return int(number)


def reason(error: duckdb.Error) -> str:
    """What went wrong, in a few words: without the names of files beside the one that is meant."""
    written = re.search(r'Could not write file \\?".*?": ([^"]+)', str(error))
    return written[1] if written else one_line(error, 150)


def count_read(connection: duckdb.DuckDBPyConnection, index: Index, shards: Sequence[int]) -> int:
    """How many images of complete shards could be read."""
    images = paths(index.file(IMAGES, shard) for shard in shards)
    text = "SELECT count(layout) FROM read_parquet(?, hive_partitioning = false)"
    return count(connection, Query(text, [images]))
