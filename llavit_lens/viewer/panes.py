"""Which results stand side by side, and which belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.results.words import Words
from llavit_lens.viewer.difference import difference_of_words
from llavit_lens.viewer.reading import WordsReading

MOST_PANES = 2


def panes_of(words: Sequence[Words]) -> list[WordsReading]:
    """One or two readings. A logit lens and an input similarity of the same pass are one.

    Raises:
        ConfigurationError: something else than words, too many of them, or two panes that do not
            have the same lenses.
    """
    panes: list[WordsReading] = []
    for one in words:
        if not isinstance(one, Words):
            raise ConfigurationError(
                f"show takes the Words of a lens, not {type(one).__name__}: for example "
                "ll.logit_lens(trace).show()"
            )
        part = "words" if one.kind == "logit_lens" else "similarity"
        room = [i for i, p in enumerate(panes) if getattr(p, part) is None and _belong(p, one)]
        if room:
            panes[room[0]] = replace(panes[room[0]], **{part: one})
        else:
            panes.append(WordsReading(**{part: one}))
    if not 1 <= len(panes) <= MOST_PANES:
        raise ConfigurationError(
            f"show puts one or two readings side by side, not {len(panes)}: words of another "
            "model or prompt are another reading"
        )
    for lens in ("words", "similarity"):
        if len({getattr(pane, lens) is None for pane in panes}) > 1:
            raise ConfigurationError(
                "the two readings do not have the same lenses: give logit_lens of both, or "
                "input_similarity of both, or both of both"
            )
    return panes


def _belong(pane: WordsReading, one: Words) -> bool:
    return pane.lead.provenance == one.provenance and pane.lead.layout == one.layout


def titles_of(panes: Sequence[WordsReading], titles: Sequence[str] | None) -> list[str]:
    """What stands above the panes: as given, or the models' names, numbered if they are the same.

    Raises:
        ConfigurationError: not one title, a text, for each pane.
    """
    if titles is not None:
        texts = [titles] if isinstance(titles, str) else titles
        fits = isinstance(texts, Sequence) and len(texts) == len(panes)
        if not fits or not all(isinstance(text, str) for text in texts):
            raise ConfigurationError(
                f"titles={titles!r}: give one text for each of the {len(panes)} panes"
            )
        return list(texts)
    names = [str(pane.lead.provenance.get("model") or "model") for pane in panes]
    if len(set(names)) < len(names):
        return [f"{number}: {name}" for number, name in enumerate(names, 1)]
    return names


def difference_of_panes(panes: Sequence[WordsReading]) -> np.ndarray | None:
    """float32 [slots, n] of the first pane (see `difference_of_words`); None of a single pane."""
    if len(panes) < 2:
        return None
    left, right = panes
    pairs = ((left.similarity, right.similarity), (left.words, right.words))
    return np.concatenate(
        [difference_of_words(a, b) for a, b in pairs if a is not None and b is not None]
    )
