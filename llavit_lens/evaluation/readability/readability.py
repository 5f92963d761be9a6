"""Do the words that a lens reads off a patch name what the patch shows?

`readability` measures it on any labelled images, at every state of the residual stream, with chance
and confidence intervals. A hit is a true word among the top k. Chance is measured, not assumed: the
same words against the truth of a patch of another image, so that words which are always there earn
nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled.labelled_images import LabelledImage, readable
from llavit_lens.evaluation.labelled.patch_labels import patch_labels
from llavit_lens.evaluation.readability.counterfactual import count_change
from llavit_lens.evaluation.readability.counts import (
    ImageCounts,
    count_binding,
    count_localisation,
)
from llavit_lens.evaluation.readability.probing import Probes, Traced, traced
from llavit_lens.evaluation.readability.tally import Tally
from llavit_lens.evaluation.readability.tally_table import tally_table
from llavit_lens.evaluation.readability.word_tokens import WordTokens
from llavit_lens.inputs import DEFAULT_PROMPT, whole_number
from llavit_lens.lens.follow import log_probabilities
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.token_kinds import newline_tokens, word_tokens
from llavit_lens.results.readability import Readability
from llavit_lens.vlm.vlm import VLM

WINDOW = 16
"""Chance takes its truth from so many images before, and so many after, an image."""


def readability(
    vlm: VLM,
    images: Iterable[LabelledImage],
    *,
    name: str | None = None,
    prompt: str = DEFAULT_PROMPT,
    ks: Sequence[int] = (1, 3, 5),
    probe: Iterable[LabelledImage] = (),
) -> Readability:
    """How well words name what is where, for each state of the residual stream.

    Which visual tokens show an object, and which show background: see `labels_from`. Which tokens
    say a word: see `word_tokens`. The measures, all of them shares of questions:

    - `hit` (any true word), `name` (the object's own name) among the first k words of an object's
      tokens. Chance: the same words against the truth of the patches of up to 2 x WINDOW images
      around this one; so a list that is sorted by what the images show has to be shuffled.
      `hit_lift` and `name_lift`: value / chance; NaN where chance is 0.
    - `localisation`: average precision of log p(name) over the tokens of an image, one question
      for each name. Chance: the mean over all orders.
    - `leak_object`, `leak_background`: an object's name among the first k words of tokens of other
      objects, of the background. Chance: names of objects of other images, absent in this one, at
      the same tokens.
    - `binding_KIND`: of two objects' attributes, the right one is likelier. Chance: one half.
    - `recolour_…`, `replace_…`: see `counterfactual.count_change`.
    - `newline`, `non_word`: the first word of any token is a newline; has no letter or digit.
    - `probe`: the name that a linear probe reads (see `probe`), trained on the images in `probe`;
      `probe_tower`: the same from the vision tower's output, where an image is one tile. Tokens
      with a name that the probe has not learned are left out. Chance: its answers shuffled.

    Images are read as many at a time as a pass takes (see `VLM.trace_batch`); what stays of each is
    counts, and its first words for the next WINDOW images. One that cannot be read is left out.

    Args:
        images: at least 2.
        name: what the table calls the model; default: its own name.
        prompt: the question to the model.
        ks: numbers of words.
        probe: images to train the linear probe on, other ones than `images`; none: no probe.

    Returns:
        The table (intervals are of drawing images again), and what was left out of it.

    Raises:
        ConfigurationError: fewer than two images that can be read, no visual token on any object,
            or a k that makes no sense.
    """
    if not ks or min(whole_number(k, "ks") for k in ks) < 1:
        raise ConfigurationError(f"ks={list(ks)}: give numbers of words, 1 or more")
    reader = _Reader(vlm, prompt, sorted(set(ks)), Probes(vlm, prompt, probe))
    unreadable = dict(reader.probes.unreadable)
    tallies = reader.read_all(readable(images, unreadable))
    _check_enough(vlm.name, tallies, list(unreadable))
    reader.probes.add_chance(tallies)
    return Readability(
        table=tally_table(name or vlm.name, tallies, reader.states),
        n_images=len(tallies),
        unreadable=list(unreadable),
        left_out=sorted(reader.word_tokens.left_out),
        by_first_piece=sorted(reader.word_tokens.by_first_piece),
        provenance=reader.provenance,
    )


def _check_enough(model: str, tallies: Sequence[Tally], unreadable: Sequence[str]) -> None:
    """Raise ConfigurationError for fewer than two images, or none with an object."""
    if len(tallies) < 2:
        raise ConfigurationError(
            f"readability needs at least 2 images, not {len(tallies)}: chance and intervals are "
            f"made of several{''.join(f'; left out: {why}' for why in unreadable[:1])}"
        )
    if not any(key[0] == "hit" for tally in tallies for key in tally.asked):
        raise ConfigurationError(
            f"{model}: no visual token of the {len(tallies)} images shows an object of which the "
            "model can say a word; is anything labelled?"
        )


class _Reader:
    """Reads images with one model."""

    def __init__(self, vlm: VLM, prompt: str, ks: Sequence[int], probes: Probes) -> None:
        self.vlm, self.prompt, self.ks, self.probes = vlm, prompt, ks, probes
        self.word_tokens = WordTokens(vlm.tokenizer)
        self.states = 0
        self.provenance: dict[str, Any] = {}

    def read_all(self, images: Iterable[LabelledImage]) -> list[Tally]:
        """The counts of each image, with the chance of its neighbours in the list."""
        tallies: list[Tally] = []
        nearby: deque[ImageCounts] = deque()
        tower = bool(self.probes)
        for one in traced(self.vlm, self.prompt, images, changes=True, tower=tower):
            counts = self.read(one)
            for other in nearby:
                counts.compare(other)
                other.compare(counts)
            nearby.append(counts)
            tallies.append(counts.tally)
            if len(nearby) > WINDOW:
                nearby.popleft().close()
        for counts in nearby:
            counts.close()
        return tallies

    def read(self, one: Traced) -> ImageCounts:
        """All counts but the chance that other images give."""
        image, trace, features, _ = one
        words = logit_lens(trace, k=max(self.ks))
        self.provenance = {**trace.provenance}
        self.provenance.pop("image_sha256", None)  # of this image alone
        labels = patch_labels(trace.layout, image)
        objects = [self.word_tokens.of_object(thing) for thing in image.objects]
        counts = ImageCounts(words.ids, labels, objects, self.ks)
        tally, self.states = counts.tally, len(words.layers)
        followed = sorted(
            frozenset().union(*(ids for t in objects for ids in (t.name, *t.attributes.values())))
        )
        if followed:
            values = log_probabilities(trace, words, followed)
            log_p = {token: values[:, :, i] for i, token in enumerate(followed)}
            count_localisation(tally, labels, objects, log_p)
            count_binding(tally, labels, objects, log_p)
        for change, changed in zip(image.changes, one.changed, strict=True):
            after = changed, logit_lens(changed, k=1)
            count_change(tally, image, change, (trace, words), after, self.word_tokens)
        first = words.ids[:, trace.layout.on_image, 0]
        size = len(trace.unembedding)
        for measure, tokens in (
            ("newline", newline_tokens(trace.tokenizer, size)),
            ("non_word", ~word_tokens(trace.tokenizer, size)),
        ):
            tally.add((measure, None), tokens[first].sum(1), first.shape[1])
        self.probes.count(tally, trace, features, labels, image)
        return counts
