"""What a model reads most often in a corpus, and what another one reads there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from llavit_lens.corpus.index import Index
from llavit_lens.corpus.schema import IMAGES, strings_file
from llavit_lens.corpus.sql import Query, folded, paths
from llavit_lens.errors import ConfigurationError, printable
from llavit_lens.results.matching import matched_layer
from llavit_lens.token_text import is_newline

if TYPE_CHECKING:
    import pandas as pd

Corpus = tuple[Index, Query, Sequence[int]]
"""An index, all words of its complete shards, and the numbers of these."""


def commonest(
    connection: duckdb.DuckDBPyConnection, index: Index, words: Query, n: int, among: int
) -> pd.DataFrame:
    """See `WordIndex.commonest`."""
    cosine = index.settings.lens == "input_similarity"
    mean = "mean_cosine" if cosine else "mean_probability"
    value = "avg(value)" if cosine else "avg(exp(value))"
    return connection.execute(
        f"""
        WITH counted AS (
            SELECT layer, token, count(*) AS patches, {value} AS mean,
                count(*) FILTER (rank = 0) AS first
            FROM ({words.text}) WHERE rank < ? GROUP BY layer, token
        ), shares AS (
            SELECT *, 100 * patches / sum(first) OVER (PARTITION BY layer) AS per_cent
            FROM counted
            QUALIFY row_number() OVER (PARTITION BY layer ORDER BY patches DESC, token) <= ?
        )
        SELECT layer, text AS token, shares.token AS id, patches, per_cent, mean AS {mean}
        FROM shares LEFT JOIN read_parquet(?, hive_partitioning = false) AS s ON s.id = shares.token
        ORDER BY layer, patches DESC, shares.token
        """,
        [*words.values, among, n, paths([strings_file(index.path)])],
    ).df()


def newlines(connection: duckdb.DuckDBPyConnection, index: Index, words: Query) -> pd.DataFrame:
    """See `WordIndex.newlines`."""
    ids = [token for token, text in _strings(connection, index).items() if is_newline(text)]
    return connection.execute(
        f"""
        SELECT layer, count(*) AS patches,
            count(*) FILTER (list_contains(?::INTEGER[], token)) AS newlines,
            100 * newlines / patches AS per_cent
        FROM ({words.text}) WHERE rank = 0 GROUP BY layer ORDER BY layer
        """,
        [ids, *words.values],
    ).df()


def differences(
    connection: duckdb.DuckDBPyConnection, ours: Corpus, theirs: Corpus, n: int
) -> pd.DataFrame:
    """See `WordIndex.differences`."""
    import pandas as pd

    lenses = {corpus[0].settings.lens for corpus in (ours, theirs)}
    if len(lenses) > 1:
        raise ConfigurationError(
            "one index is of the logit lens and one of input similarity: scan with the same --lens"
        )
    pairs = _layer_pairs(ours[0], theirs[0])
    both, unlike = _same_images(*(_images(connection, corpus) for corpus in (ours, theirs)))
    read = [
        _top_words(connection, corpus, both[column])
        for corpus, column in ((ours, "image"), (theirs, "image_other"))
    ]
    tables = []
    for layer, other_layer in pairs:
        mine, other = (
            table[table["layer"].eq(number)].drop(columns="layer")
            for table, number in zip(read, (layer, other_layer), strict=True)
        )
        words = mine.merge(other, on="word", how="outer", suffixes=("", "_other"))
        table = _compared(words, both).head(n)
        table.insert(0, "layer", layer)
        table.insert(1, "other_layer", other_layer)
        tables.append(table)
    result = pd.concat(tables, ignore_index=True)
    result.attrs.update(images=len(both), unlike=unlike)
    return result


def _compared(words: pd.DataFrame, both: pd.DataFrame) -> pd.DataFrame:
    """The words of a layer whose shares differ, those first that differ most."""
    import pandas as pd

    counts = words[["patches", "patches_other"]].fillna(0).astype(int)
    ours, theirs = (counts[column] for column in counts)
    shares = [100 * one / max(1, one.sum()) for one in (ours, theirs)]
    more = shares[0] >= shares[1]
    sources = [
        words[column].map(both.set_index(column)["source"]) for column in ("image", "image_other")
    ]
    table = pd.DataFrame(
        {
            "word": words["word"],
            "per_cent": shares[0],
            "other_per_cent": shares[1],
            "difference": shares[0] - shares[1],
            "patches": ours,
            "other_patches": theirs,
            "example": np.where(more, *sources),
            "example_patch": np.where(more, words["patch"], words["patch_other"]).astype(int),
        }
    )
    differ = ours * max(1, theirs.sum()) != theirs * max(1, ours.sum())  # shares are rounded
    return (
        table[differ]
        .assign(size=lambda frame: frame["difference"].abs())
        .sort_values(["size", "word"], ascending=[False, True])
        .drop(columns="size")
    )


def _layer_pairs(ours: Index, theirs: Index) -> list[tuple[int, int]]:
    """Each of our layers with theirs at the same share of the depth, where both were read."""
    depths = [
        int(index.provenance.get("n_layers") or index.settings.layers[-1])
        for index in (ours, theirs)
    ]
    matched = [(layer, matched_layer(layer, *depths)) for layer in ours.settings.layers]
    pairs = [pair for pair in matched if pair[1] in theirs.settings.layers]
    if not pairs:
        raise ConfigurationError(
            f"no layer of one index fits one of the other: {_numbers(ours)} of {depths[0]} and "
            f"{_numbers(theirs)} of {depths[1]}; scan the same shares of the depth (--layers)"
        )
    return pairs


def _numbers(index: Index) -> str:
    return ",".join(map(str, index.settings.layers))


def _same_images(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The images of one name and the same pixels, and how many of one name have others."""
    named = ours.merge(theirs, on="source", suffixes=("", "_other"))
    if named.empty:
        raise ConfigurationError(
            f"the two indexes have no image in common: {_example(ours)} of the one and "
            f"{_example(theirs)} of the other; images are matched by their names in the corpus"
        )
    both = named[named["sha256"].eq(named["sha256_other"])]
    if both.empty:
        raise ConfigurationError(
            f"the two indexes have no image in common: {len(named):,} have the same name, such as "
            f"{_example(named)}, but other pixels; scan the same images with both models"
        )
    return both, len(named) - len(both)


def _images(connection: duckdb.DuckDBPyConnection, corpus: Corpus) -> pd.DataFrame:
    """image, source, sha256: of all that could be read."""
    index, _, shards = corpus
    return connection.execute(
        "SELECT image, source, sha256 FROM read_parquet(?, hive_partitioning = false) "
        "WHERE layout IS NOT NULL ORDER BY image",
        [paths(index.file(IMAGES, shard) for shard in shards)],
    ).df()


def _example(names: pd.DataFrame) -> str:
    return repr(printable(names["source"].iloc[0], 60)) if len(names) else "nothing"


def _top_words(
    connection: duckdb.DuckDBPyConnection, corpus: Corpus, images: pd.Series
) -> pd.DataFrame:
    """layer, word, patches, image, patch: how often each word is best, and where it is best read.

    Tokens of one word in any case, with spaces or without, count together.
    """
    import pandas as pd

    index, words, _ = corpus
    connection.register("chosen", pd.DataFrame({"image": images.to_numpy(np.int64)}))
    table = connection.execute(
        f"""
        SELECT layer, token, count(*) AS patches,
            min({{'value': -value, 'image': image, 'patch': patch}}) AS best
        FROM ({words.text}) JOIN chosen USING (image) WHERE rank = 0 GROUP BY layer, token
        """,
        words.values,
    ).df()
    # white space stays as it is
    strings = _strings(connection, index, f"coalesce(nullif({folded('text')}, ''), text)")
    best = pd.DataFrame(table["best"].tolist(), columns=["value", "image", "patch"])
    table = table[["layer", "token", "patches"]].join(best)
    table["word"] = [strings.get(token, f"<id {token}>") for token in table["token"]]
    table = table.sort_values(["value", "image", "patch", "token"])
    grouped = table.groupby(["layer", "word"], as_index=False)
    return grouped.agg(
        patches=("patches", "sum"), image=("image", "first"), patch=("patch", "first")
    )


def _strings(
    connection: duckdb.DuckDBPyConnection, index: Index, text: str = "text"
) -> dict[int, str]:
    rows = connection.execute(
        f"SELECT id, {text} FROM read_parquet(?, hive_partitioning = false)",
        [paths([strings_file(index.path)])],
    ).fetchall()
    return dict(rows)
