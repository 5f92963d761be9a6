"""A search of an index: its hits with their images, kept for all visitors who ask the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from llavit_lens.explorer.corpus import Corpus, Stamp
from llavit_lens.explorer.view import View

if TYPE_CHECKING:
    import pandas as pd

    from llavit_lens.results.hits import Hits

MOST_HITS = 40
"""On a page."""


@dataclass(frozen=True, eq=False)
class Found:
    """What was found.

    Attributes:
        hits: the best, at most `MOST_HITS`.
        tiles: see `sheet_tiles`.
        identity: another one for each search.
    """

    hits: Hits
    tiles: list[dict[str, Any]]
    identity: str


def search_corpus(corpus: Corpus, view: View) -> Found:
    """Where the word of a view is read, at its layer, with its probability at least.

    Raises:
        ConfigurationError: as `WordIndex.find`.
    """
    least = 0 if corpus.words.index.settings.lens == "input_similarity" else view.least
    return _found(corpus.path, corpus.stamp, view.word.strip(), view.at, least, view.per, corpus)


@st.cache_resource(max_entries=64, show_spinner=False)
def _found(
    path: str, stamp: Stamp, word: str, at: int | None, least: int, per: Any, _corpus: Corpus
) -> Found:
    from llavit_lens.viewer.sheet import sheet_tiles

    hits = _corpus.words.find(word, at, least / 100, MOST_HITS, per=per)
    tiles = sheet_tiles(hits, _corpus.images.open, MOST_HITS)
    return Found(hits, tiles, repr((path, stamp, word, at, least, per)))


def view_of_hit(view: View, hits: Hits, number: int, prompt: str) -> View:
    """The reading page at a hit.

    Args:
        view: of the search.
        number: of the hit, from 0.
        prompt: what the model was asked when it read the corpus; "" for the default question.
    """
    from llavit_lens.explorer.view import corpus_picture

    row = hits.table.iloc[number]
    return replace(
        view,
        mode="look",
        picture=corpus_picture(int(row["image"])),
        layer=-1 if hits.lens == "input_similarity" else int(row["layer"]),
        patch=int(row["patch"]),
        prompt=prompt,
    )


def statistics(corpus: Corpus, n: int = 5) -> pd.DataFrame:
    """One row for each layer: `layer`, the `n` commonest words with their shares, and `newline`.

    Raises:
        ConfigurationError: no shard is complete, or one is damaged.
    """
    return _statistics(corpus.path, corpus.stamp, n, corpus)


@st.cache_resource(max_entries=16, show_spinner=False)
def _statistics(path: str, stamp: Stamp, n: int, _corpus: Corpus) -> pd.DataFrame:
    import pandas as pd

    from llavit_lens.token_text import printable

    words = _corpus.words.commonest(n)
    newlines = _corpus.words.newlines().set_index("layer")["per_cent"]
    rows = []
    for layer, table in words.groupby("layer"):
        pairs = zip(table["token"], table["per_cent"], strict=True)
        texts = [f"{printable(str(token))} {share:.1f}%" for token, share in pairs]
        texts += [""] * (n - len(texts))
        row = {"layer": layer, **{f"{place}.": text for place, text in enumerate(texts, 1)}}
        rows.append({**row, "newline": float(newlines.get(layer, 0.0))})
    return pd.DataFrame(rows)
