"""Search over a corpus that was scanned: `WordIndex(path).find(word)`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import duckdb

from llavit_lens.corpus.finding import Search, found_places, found_together, found_tokens
from llavit_lens.corpus.index import read_index
from llavit_lens.corpus.postings import Postings, bring_up_to_date
from llavit_lens.corpus.reading import read_strings
from llavit_lens.corpus.schema import IMAGES, LAYOUTS, postings_folder
from llavit_lens.corpus.shards import find_damage, n_images
from llavit_lens.corpus.spelling import Spelling, spelling
from llavit_lens.corpus.sql import Query, connect, count_read, reason, together
from llavit_lens.corpus.statistics import commonest, differences, newlines
from llavit_lens.disk import shown
from llavit_lens.errors import ConfigurationError, printable
from llavit_lens.inputs import whole_number
from llavit_lens.results.hits import Hits, Per

if TYPE_CHECKING:
    import pandas as pd

_MOST = 10**9  # hits or words that are asked for

_TRIES = 3  # another process may merge what is just read

Answer = TypeVar("Answer")


class WordIndex:
    """The words that a model reads in a corpus, found on disk.

    It needs no model, no server and no PyTorch. A scan may still be writing the index: each call
    sees the shards that are complete by then. The first call sorts the words of new shards by word,
    once (INDEX/postings); where the index cannot be written to, a search reads the shards
    themselves, and is slower.

    Attributes:
        index: what `index.json` says: settings, model, origin, provenance.
        path: its folder.
    """

    def __init__(self, path: str | Path) -> None:
        """Raises ConfigurationError: there is no index, or one of another version."""
        self.index = read_index(path)
        self.path = self.index.path

    def __repr__(self) -> str:
        settings = self.index.settings
        return (
            f"WordIndex({shown(self.path)}: {settings.images:,} images x {len(settings.layers)} "
            f"layers, the {settings.k} best words of each patch, read by {self.model})"
        )

    @property
    def model(self) -> str:
        """Name of the model that read the corpus."""
        return printable(self.index.model, 60)

    @property
    def layers(self) -> list[int]:
        """Layers that were read, ascending; 0 is the input."""
        return list(self.index.settings.layers)

    def find(
        self,
        word: str,
        layer: int | Iterable[int] | None = None,
        min_probability: float = 0.0,
        limit: int = 20,
        *,
        per: Per = "patch",
        exact: bool = False,
        min_cosine: float | None = None,
    ) -> Hits:
        """Where a word is among the k best, best first.

        A word is looked for in any case, with a space before it or without ('dog', ' Dog'). A word
        that is no token in any case is found where all of its pieces are, in any order: in one
        image, patch, or patch at one layer, as `per` says. Its probability is that of the piece
        that has the lowest there, for the word is read at most as surely. `Hits.pieces` says where
        each piece is. Patches of padding are left out.

        Args:
            word: a word, or several with spaces between them.
            layer: one layer or several, of those that were read; -1 is the last; default: all.
            min_probability: of hits, and of each piece.
            limit: how many hits are returned at most; 1 to 10^9.
            per: what a hit is: "patch", each at its best layer; "image", each at its best patch and
                layer; or "layer", every layer of every patch.
            exact: look for the token that is exactly this text, such as "\\n" or " Dog".
            min_cosine: for an index of input similarity, in place of `min_probability`.

        Returns:
            Hits. There may be none: `note` says why.

        Raises:
            ConfigurationError: the model cannot say the word; a layer that was not read; a number
                out of its range; a damaged file, which is named.
        """
        cosine = self.index.settings.lens == "input_similarity"
        if per not in get_args(Per):
            raise ConfigurationError(f"per={per!r}: choose one of {', '.join(get_args(Per))}")
        _check_number(limit, "limit")
        least = _least(min_probability, min_cosine, cosine)
        layers = None if layer is None else self._layers(layer)
        with connect() as connection:  # before words are sorted, which may take long
            spelled = spelling(self.index, word, exact, connection)

        def answer(connection: duckdb.DuckDBPyConnection, postings: Postings) -> Hits:
            parts = postings.queries(self.index, list(spelled.tokens))
            search = Search(together(parts), layers, least, per, limit) if parts else None
            return self._hits(connection, postings, word, spelled, search, per)

        return self._answered(answer)

    def commonest(self, n: int = 10, *, among: int = 1) -> pd.DataFrame:
        """The commonest words of each layer.

        Args:
            n: how many words of each layer.
            among: 1 counts the best word of each patch, 3 the three best.

        Returns:
            One row for each layer and word, the commonest first: `layer`, `token` (text), `id`,
            `patches` (where it is among these), `per_cent` of all patches, and
            `mean_probability` or `mean_cosine` over these patches. Patches of padding are left out.

        Raises:
            ConfigurationError: as `find`.
        """
        _check_number(n, "n")
        if not 1 <= whole_number(among, "among") <= self.index.settings.k:
            raise ConfigurationError(
                f"among={among}: the index has the {self.index.settings.k} best words of each patch"
            )
        return self._answered(
            lambda connection, postings: commonest(
                connection, self.index, self._all(postings), n, among
            )
        )

    def newlines(self) -> pd.DataFrame:
        """On how many patches of each layer the best word is a newline.

        Newlines are tokens of a newline or several, and white space at most.

        Returns:
            One row for each layer: `layer`, `patches` (all that do not show padding alone),
            `newlines` (how many of them) and `per_cent`.

        Raises:
            ConfigurationError: as `find`.
        """
        return self._answered(
            lambda connection, postings: newlines(connection, self.index, self._all(postings))
        )

    def differences(self, other: WordIndex | str | Path, n: int = 10) -> pd.DataFrame:
        """Words that two models read differently on the same images.

        Images count where both indexes have one of this name and the same pixels. Layers are
        matched by their share of the depth, words by their text in lower case without spaces around
        it. The best word of each patch is counted, in per cent of patches, for models may differ in
        how many they see.

        Args:
            other: the index of the other model.
            n: how many words of each layer, those first that differ most.

        Returns:
            One row for each layer and word whose shares differ, or none: `layer`, `other_layer`,
            `word`, `per_cent` and `other_per_cent` of patches, `difference` (the first less the
            second, in points), `patches` and `other_patches`, and an example: `example` (the image
            where the word is read best by the model that reads it more often) and `example_patch`
            (of that model's layout). `attrs["images"]` is the number of images that both have,
            `attrs["unlike"]` that of images left out: both have the name, but other pixels.

        Raises:
            ConfigurationError: the two have no image or no layer in common, or were read with
                different lenses; or as `find`.
        """
        theirs = other if isinstance(other, WordIndex) else WordIndex(other)
        _check_number(n, "n")
        return self._answered(
            lambda connection, ours: theirs._answered(
                lambda _, others: differences(
                    connection,
                    (self.index, self._all(ours), _shards(ours)),
                    (theirs.index, theirs._all(others), _shards(others)),
                    n,
                )
            )
        )

    def _hits(
        self,
        connection: duckdb.DuckDBPyConnection,
        postings: Postings,
        word: str,
        spelled: Spelling,
        search: Search | None,
        per: Per,
    ) -> Hits:
        if search is None or not spelled.pieces:
            found = found_tokens(connection, search)
        else:
            found = found_together(connection, search, spelled.pieces)
        n = sum(run.read for run in postings.runs)
        n += count_read(connection, self.index, postings.rest) if postings.rest else 0
        table, pieces = found_places(connection, self.index, found, spelled.tokens)
        note = "" if found.total else self._why(connection, spelled, postings, search)
        if found.total and spelled.repeats:
            note = (
                f"{printable(spelled.word, 60)!r} has a piece more than once. A lens does not read "
                "how often a piece comes, nor in which order: each is looked for once."
            )
        cosine = self.index.settings.lens == "input_similarity"
        return Hits(
            word=word,
            table=table,
            tokens=spelled.tokens,
            pieces=pieces if spelled.pieces else None,
            layers=_values(found.layers, cosine, "highest"),
            total=found.total,
            n_images=n,
            n_listed=self.index.settings.images,
            per=per,
            model=self.index.model,
            lens="input_similarity" if cosine else "logit_lens",
            index=str(self.path),
            note=" ".join(filter(None, (note, self._state(postings, n)))),
        )

    def _answered(self, answer: Callable[[duckdb.DuckDBPyConnection, Postings], Answer]) -> Answer:
        """The answer to a question about all complete shards."""
        for attempt in range(_TRIES):
            postings = bring_up_to_date(self.index)
            try:
                with connect() as connection:
                    return answer(connection, postings)
            except duckdb.Error as error:
                if isinstance(error, duckdb.IOException) and attempt + 1 < _TRIES:
                    continue
                read_strings(self.index)
                find_damage(self.index, postings.rest)
                find_damage(self.index, _shards(postings), [LAYOUTS, IMAGES])
                raise ConfigurationError(
                    f"{shown(postings_folder(self.index.path))}: cannot be searched "
                    f"({reason(error)}); delete this folder, and search again, which makes "
                    "it anew"
                ) from error
        raise AssertionError("the last try returns or raises")

    def _all(self, postings: Postings) -> Query:
        """All words of complete shards."""
        parts = postings.queries(self.index)
        if not parts:
            raise ConfigurationError(
                f"{shown(self.path)}: has no complete shard yet; wait for the scan, or run it again"
            )
        return together(parts)

    def _layers(self, layer: int | Iterable[int]) -> list[int]:
        settings = self.index.settings
        last = 0
        if settings.lens == "logit_lens":
            last = int(self.index.provenance.get("n_layers") or settings.layers[-1])
        wanted = layer if isinstance(layer, Iterable) and not isinstance(layer, str) else [layer]
        numbers = [whole_number(one, "layer") for one in wanted]
        chosen = [number + last + 1 if number < 0 else number for number in numbers]
        if not chosen:
            raise ConfigurationError("layer names none; leave it out for all")
        if strange := [n for n, c in zip(numbers, chosen, strict=True) if c not in settings.layers]:
            raise ConfigurationError(
                f"layer {strange[0]} is not among those of the index: "
                f"{', '.join(map(str, settings.layers))}"
            )
        return sorted(set(chosen))

    def _state(self, postings: Postings, read: int) -> str:
        """What is not searched, and why a search is slow."""
        there = n_images(self.index, _shards(postings))
        parts = []
        if there < self.index.settings.images:
            parts.append(
                f"The scan is not finished: {there:,} of {self.index.settings.images:,} images are "
                "there."
            )
        if read < there:
            parts.append(f"{there - read:,} images could not be read by the scan.")
        if postings.fault:
            parts.append(f"Searched without postings, which is slower ({postings.fault}).")
        return " ".join(parts)

    def _why(
        self,
        connection: duckdb.DuckDBPyConnection,
        spelled: Spelling,
        postings: Postings,
        search: Search | None,
    ) -> str:
        """Why a word that the model can say is not found, and what to do."""
        settings = self.index.settings
        if search is None:
            return "No shard is complete yet: wait for the scan, or run it again."
        word, more = repr(printable(spelled.word, 60)), f"-k {2 * settings.k}"
        filtered = search.layers is not None or search.least > -math.inf
        wide = search._replace(layers=None, least=-math.inf)
        if spelled.pieces:
            counts = {
                text: found_tokens(connection, wide.only([token])).total
                for token, text in spelled.tokens.items()
            }
            unit = {"image": "images", "patch": "patches", "layer": "patches and layers"}[wide.per]
            each = ", ".join(f"{printable(text)!r} on {n:,}" for text, n in counts.items())
            tail = " at these layers and values" if filtered else ""
            return (
                f"{word} is no single token, and its pieces are nowhere together{tail} in one "
                f"{wide.per}. Alone they are among the {settings.k} best words: {each} {unit}. "
                + (
                    "Look for a piece, or for pieces in one image (per='image', --per image)."
                    if wide.per != "image"
                    else "Look for a piece."
                )
            )
        if filtered and (anywhere := found_tokens(connection, wide)).total:
            best = anywhere.rows.iloc[0]
            value = f"cosine {best.value:.3g}"
            if settings.lens == "logit_lens":
                value = f"probability {math.exp(best.value):.3g}"
            return (
                f"{word} is not found at these layers and values; its best is {value} at layer "
                f"{best.layer}: ask for a lower value or for other layers."
            )
        return (
            f"{self.model} can say {word}, but it is nowhere among the {settings.k} best words of "
            f"a patch; scan with a larger k ({more}), or follow it with --words {word}."
        )


def _shards(postings: Postings) -> Sequence[int]:
    return [*(shard for run in postings.runs for shard in run.shards), *postings.rest]


def _check_number(value: Any, name: str) -> None:
    if whole_number(value, name) < 1:
        raise ConfigurationError(f"{name}={value}: give 1 or more")
    if value > _MOST:
        raise ConfigurationError(f"{name}={value}: give at most {_MOST:,}")


def _least(min_probability: Any, min_cosine: Any, cosine: bool) -> float:
    """The least value in the index's own unit: log-probability or cosine."""
    for name, value in (("min_probability", min_probability), ("min_cosine", min_cosine)):
        if value is None and name == "min_cosine":
            continue
        low = 0.0 if name == "min_probability" else -1.0
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= 1:
            raise ConfigurationError(f"{name}={value!r}: give a number from {low:g} to 1")
    if cosine and min_probability:
        raise ConfigurationError(
            "this index is of input similarity, which has no probabilities: use min_cosine "
            "(--min-cosine)"
        )
    if cosine:
        return -math.inf if min_cosine is None else float(min_cosine)
    if min_cosine is not None:
        raise ConfigurationError(
            "this index is of the logit lens: use min_probability (--min-probability)"
        )
    return math.log(min_probability) if min_probability else -math.inf


def _values(frame: pd.DataFrame, cosine: bool, column: str) -> pd.DataFrame:
    """Log-probabilities as probabilities."""
    import numpy as np

    return frame if cosine else frame.assign(**{column: np.exp(frame[column].astype(float))})
