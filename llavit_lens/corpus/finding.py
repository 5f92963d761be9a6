"""The rows of a search: best first, one for each image, patch, or patch and layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import numpy as np

from llavit_lens.corpus.index import Index
from llavit_lens.corpus.schema import IMAGES, LAYOUTS
from llavit_lens.corpus.sql import ORDER, Query, count, paths
from llavit_lens.results.hits import PLACE, Per

if TYPE_CHECKING:
    import pandas as pd

UNITS: dict[Per, list[str]] = {
    "image": ["image"],
    "patch": ["image", "patch"],
    "layer": ["image", "layer", "patch"],
}
"""Columns that tell one hit from another."""

_ROW = ["token", "value", "image", "layer", "patch", "rank"]
_SORTED = {"value": False, "image": True, "layer": True, "patch": True, "rank": True, "token": True}
_LAYERS = ["layer", "patches", "images", "highest"]


class Search(NamedTuple):
    """What is looked for.

    Attributes:
        words: rows of the tokens that are looked for.
        layers: those that are searched; None: all.
        least: the least value.
        per: what a hit is.
        limit: how many hits at most.
    """

    words: Query
    layers: Sequence[int] | None
    least: float
    per: Per
    limit: int

    @property
    def rows(self) -> Query:
        """The rows at these layers, of this value at least."""
        conditions, values = ["true"], list(self.words.values)
        if self.layers is not None:
            conditions.append(f"layer IN ({', '.join('?' for _ in self.layers)})")
            values.extend(self.layers)
        if self.least > -math.inf:
            conditions.append("value >= ?")
            values.append(self.least)
        text = f"SELECT * FROM ({self.words.text}) WHERE {' AND '.join(conditions)}"
        return Query(text, values)

    def only(self, tokens: Sequence[int]) -> Search:
        """The same search for some of its tokens."""
        marks = ", ".join("?" for _ in tokens)
        text = f"SELECT * FROM ({self.words.text}) WHERE token IN ({marks})"
        return self._replace(words=Query(text, [*self.words.values, *tokens]))


class Found(NamedTuple):
    """Attributes: see `Hits`; rows have token, value, image, layer, patch, rank."""

    rows: pd.DataFrame
    layers: pd.DataFrame
    total: int
    pieces: pd.DataFrame | None = None


def found_tokens(connection: duckdb.DuckDBPyConnection, search: Search | None) -> Found:
    """Hits of any of the tokens, each at its best."""
    import pandas as pd

    if search is None:
        return Found(pd.DataFrame(columns=_ROW), pd.DataFrame(columns=_LAYERS), 0)
    text, values = search.rows
    unit = UNITS[search.per]
    most = 8 * search.limit
    while True:  # a hit may have many rows; those of the best hits are among the best rows
        best = connection.execute(
            f"SELECT {', '.join(_ROW)} FROM ({text}) ORDER BY {ORDER} LIMIT ?", [*values, most]
        ).df()
        rows = best.drop_duplicates(unit)
        if len(rows) >= search.limit or len(best) < most:
            break
        most *= 8
    if not len(best):
        return Found(best, pd.DataFrame(columns=_LAYERS), 0)
    layers = connection.execute(
        "SELECT layer, count(DISTINCT (image, patch)) AS patches, "
        "count(DISTINCT image) AS images, max(value) AS highest "
        f"FROM ({text}) GROUP BY layer ORDER BY layer",
        values,
    ).df()
    total = len(rows)
    if len(best) == most and search.per == "layer":
        total = int(layers["patches"].sum())
    elif len(best) == most:
        distinct = f"SELECT count(*) FROM (SELECT DISTINCT {', '.join(unit)} FROM ({text}))"
        total = count(connection, Query(distinct, values))
    return Found(rows.head(search.limit).reset_index(drop=True), layers, total)


def found_together(
    connection: duckdb.DuckDBPyConnection, search: Search, forms: Sequence[Sequence[int]]
) -> Found:
    """Hits of a word of several pieces: where all pieces of one way to write it are.

    The row of a hit is that of its piece of the lowest value, each piece at its best there.
    """
    import pandas as pd

    unit = UNITS[search.per]
    columns = ", ".join(unit)
    tables = []
    for number, form in enumerate(forms):
        text, values = search.only(sorted(set(form))).rows
        query = f"""
            WITH best AS (
                SELECT * FROM ({text})
                QUALIFY row_number() OVER (PARTITION BY token, {columns} ORDER BY {ORDER}) = 1
            ), met AS (
                SELECT *, count(*) OVER (PARTITION BY {columns}) AS found, row_number() OVER (
                    PARTITION BY {columns} ORDER BY value, image, layer, patch, rank, token
                ) = 1 AS lowest FROM best
            )
            SELECT {", ".join(_ROW)}, lowest FROM met WHERE found = ?
        """
        table = connection.execute(query, [*values, len(set(form))]).df()
        places = {token: place for place, token in reversed(list(enumerate(form)))}
        tables.append(table.assign(form=number, place=table["token"].map(places)))
    pieces = pd.concat(tables, ignore_index=True)
    hits = pieces[pieces["lowest"]].sort_values(
        [*_SORTED, "form"], ascending=[*_SORTED.values(), True], kind="stable"
    )
    hits = hits.drop_duplicates(unit)
    grouped = hits.groupby("layer")
    layers = grouped.agg(
        patches=("patch", "size"), images=("image", "nunique"), highest=("value", "max")
    ).reset_index()
    rows = hits.head(search.limit).reset_index(drop=True)
    numbered = rows[[*unit, "form"]].assign(hit=np.arange(len(rows)))
    pieces = pieces.merge(numbered, on=[*unit, "form"]).sort_values(["hit", "place"])
    return Found(rows[_ROW], layers, len(hits), pieces[["hit", *_ROW]].reset_index(drop=True))


def found_places(
    connection: duckdb.DuckDBPyConnection, index: Index, found: Found, texts: dict[int, str]
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The columns of `Hits.table` and of `Hits.pieces`: names of images, boxes, texts of tokens."""
    import pandas as pd

    size = index.settings.images_per_shard
    cosine = index.settings.lens == "input_similarity"
    value = "cosine" if cosine else "probability"

    def said(frame: pd.DataFrame) -> pd.DataFrame:
        numbers = frame["value"].to_numpy(float)
        return frame.assign(
            token=frame["token"].map(texts).astype(object),
            **{value: numbers if cosine else np.exp(numbers)},
        )

    columns = [*PLACE, value]
    if found.rows.empty:
        return pd.DataFrame(columns=columns), found.pieces
    shards = sorted({int(image) // size for image in found.rows["image"]})
    images, layouts = (
        paths(index.file(part, shard) for shard in shards) for part in (IMAGES, LAYOUTS)
    )
    connection.register("hits", found.rows.assign(hit=np.arange(len(found.rows))))
    table = connection.execute(
        f"""
        SELECT h.hit, h.token, h.value, h.image, i.source, h.layer, h.patch, h.rank, l.tile,
            l."row", l.col, l.x0, l.y0, l.x1, l.y1
        FROM hits AS h
        JOIN read_parquet(?, hive_partitioning = false) AS i ON i.image = h.image
        JOIN (
            SELECT *, parse_filename(filename, true)::BIGINT AS shard
            FROM read_parquet(?, hive_partitioning = false, filename = true)
        ) AS l ON l.shard = h.image // {size} AND l.layout = i.layout AND l.patch = h.patch
        ORDER BY h.hit
        """,
        [images, layouts],
    ).df()
    pieces = found.pieces
    if pieces is not None:
        pieces = said(pieces)[["hit", "token", "layer", "patch", "rank", value]]
    return said(table)[columns], pieces
