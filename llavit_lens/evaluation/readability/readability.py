"""Do the words that a lens reads off a patch name what the patch shows?

`readability` measures it on any labelled pictures, at every state of the residual stream, with
chance and confidence intervals. A hit is a true word among the top k. Chance is measured, not
assumed: the same words against the truth of a patch of another picture, so that words which are
always there earn nothing.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled.images import LabelledImage, owners_of, readable
from llavit_lens.evaluation.readability.counterfactual import count_change
from llavit_lens.evaluation.readability.counts import (
    Reading,
    Tally,
    count_binding,
    count_localisation,
)
from llavit_lens.evaluation.readability.probing import Probes, tower_features
from llavit_lens.evaluation.readability.spoken import Vocabulary
from llavit_lens.evaluation.readability.tally_table import tally_table
from llavit_lens.inputs import DEFAULT_PROMPT, whole_number
from llavit_lens.lens.follow import log_probabilities
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.token_kinds import newline_tokens, word_tokens
from llavit_lens.results.readability import Readability
from llavit_lens.vlm.vlm import VLM

WINDOW = 16
"""Chance takes its truth from so many pictures before, and so many after, a picture."""


def readability(
    vlm: VLM,
    pictures: Iterable[LabelledImage],
    *,
    name: str | None = None,
    prompt: str = DEFAULT_PROMPT,
    ks: Sequence[int] = (1, 3, 5),
    probe: Iterable[LabelledImage] = (),
) -> Readability:
    """How well words name what is where, for each state of the residual stream.

    Whose a visual token is, and what is background: `labelled.owners_of`. Which tokens say a word:
    `spoken`. The measures, all of them shares of what was asked:

    - `hit` (any true word), `name` (the object's own name) among the first k words of an object's
      tokens. Chance: the same words against the truth of the patches of up to 2 x WINDOW pictures
      around this one; so a list that is sorted by what the pictures show has to be shuffled.
      `hit_lift` and `name_lift`: value / chance; NaN where chance is 0.
    - `localisation`: average precision of log p(name) over the tokens of a picture, one question
      for each name. Chance: the mean over all orders.
    - `leak_object`, `leak_background`: an object's name among the first k words of tokens of other
      objects, of the background. Chance: names of objects of other pictures, absent in this one, at
      the same tokens.
    - `binding_KIND`: of two objects' attributes, their own is the likelier one. Chance: one half.
    - `recolour_…`, `replace_…`: see `counterfactual.count_change`.
    - `newline`, `non_word`: the first word of any token is a newline; has no letter or digit.
    - `probe`: the name that a linear probe reads (see `probe`), trained on the pictures in `probe`;
      `probe_tower`: the same from the vision tower's output, where a picture is one tile. Tokens
      whose name is not among the probe's are not asked. Chance: its answers shuffled.

    Pictures are read one at a time; what stays of each is counts, and its first words for the next
    WINDOW pictures. One that cannot be read is left out.

    Args:
        pictures: at least 2.
        name: what the table calls the model; default: its own name.
        prompt: what the model is asked.
        ks: numbers of words.
        probe: pictures to train the linear probe on, other ones than `pictures`; none: no probe.

    Returns:
        The table (intervals are of drawing pictures again), and what was left out of it.

    Raises:
        ConfigurationError: fewer than two pictures that can be read, no visual token on any object,
            or a k that makes no sense.
    """
    if not ks or min(whole_number(k, "ks") for k in ks) < 1:
        raise ConfigurationError(f"ks={list(ks)}: give numbers of words, 1 or more")
    reader = _Reader(vlm, prompt, sorted(set(ks)), Probes(vlm, prompt, probe))
    tallies: list[Tally] = []
    nearby: deque[Reading] = deque()
    unreadable = dict(reader.probes.unreadable)
    for picture in readable(pictures, unreadable):
        reading = reader.read(picture)
        for other in nearby:
            reading.compare(other)
            other.compare(reading)
        nearby.append(reading)
        tallies.append(reading.tally)
        if len(nearby) > WINDOW:
            nearby.popleft().close()
    for reading in nearby:
        reading.close()
    if len(tallies) < 2:
        raise ConfigurationError(
            f"readability needs at least 2 pictures, not {len(tallies)}: chance and intervals are "
            f"made of several{''.join(f'; left out: {why}' for why in list(unreadable)[:1])}"
        )
    if not any(key[0] == "hit" for tally in tallies for key in tally.asked):
        raise ConfigurationError(
            f"{vlm.name}: no visual token of the {len(tallies)} pictures shows an object of which "
            "the model can say a word; is anything labelled?"
        )
    reader.probes.add_chance(tallies)
    return Readability(
        table=tally_table(name or vlm.name, tallies, reader.states),
        n_images=len(tallies),
        unreadable=list(unreadable),
        left_out=sorted(reader.vocabulary.left_out),
        by_first_piece=sorted(reader.vocabulary.by_first_piece),
        provenance=reader.provenance,
    )


class _Reader:
    """Reads pictures with one model."""

    def __init__(self, vlm: VLM, prompt: str, ks: Sequence[int], probes: Probes) -> None:
        self.vlm, self.prompt, self.ks, self.probes = vlm, prompt, ks, probes
        self.vocabulary = Vocabulary(vlm.tokenizer)
        self.states = 0
        self.provenance: dict[str, Any] = {}

    def read(self, picture: LabelledImage) -> Reading:
        """Everything but chance that other pictures have to give."""
        with tower_features(self.vlm) as features:
            trace = self.vlm.trace(picture.image, self.prompt)
        words = logit_lens(trace, k=max(self.ks))
        self.provenance = {**trace.provenance}
        self.provenance.pop("image_sha256", None)  # of this image alone
        owners = owners_of(trace.layout, picture)
        spoken = [self.vocabulary.spoken(thing) for thing in picture.objects]
        reading = Reading(words.ids, owners, spoken, self.ks)
        tally, self.states = reading.tally, len(words.layers)
        wanted = sorted(
            frozenset().union(*(ids for t in spoken for ids in (t.name, *t.attributes.values())))
        )
        if wanted:
            found = log_probabilities(trace, words, wanted)
            log_p = {token: found[:, :, i] for i, token in enumerate(wanted)}
            count_localisation(tally, owners, spoken, log_p)
            count_binding(tally, owners, spoken, log_p)
        for change in picture.changes:
            other = self.vlm.trace(change.image, self.prompt)
            after = other, logit_lens(other, k=1)
            count_change(tally, picture, change, (trace, words), after, self.vocabulary)
        first = words.ids[:, trace.layout.on_image, 0]
        size = len(trace.unembedding)
        for measure, tokens in (
            ("newline", newline_tokens(trace.tokenizer, size)),
            ("non_word", ~word_tokens(trace.tokenizer, size)),
        ):
            tally.add((measure, None), tokens[first].sum(1), first.shape[1])
        self.probes.count(tally, trace, features, owners, picture)
        return reading


def hit_rate(
    read: Sequence[Sequence[str]], truth: Sequence[Collection[str]], k: int
) -> float | None:
    """Share of patches with a true word among the first k words read; None without patches.

    read: words of each patch, best first. truth: the true words of each patch.
    """
    hits = [
        any(word in true for word in words[:k]) for words, true in zip(read, truth, strict=True)
    ]
    return sum(hits) / len(hits) if hits else None


def truth_of_other_pictures(
    truth: Sequence[Collection[str]], picture: Sequence[int], seed: int = 0
) -> list[Collection[str]]:
    """For each patch, the truth of a random patch of another picture, drawn with replacement.

    picture: number of the picture that each patch belongs to. A fixed seed keeps scores repeatable.

    Raises ConfigurationError if all patches are of one picture.
    """
    if len(set(picture)) < 2:
        raise ConfigurationError("chance needs patches of at least two pictures")
    rng = random.Random(seed)
    other = []
    for own in picture:
        j = rng.randrange(len(truth))
        while picture[j] == own:
            j = rng.randrange(len(truth))
        other.append(truth[j])
    return other
