"""Counterfactuals: a thing is changed in the picture; do the words at its place, and only there?"""

from __future__ import annotations

import numpy as np

from llavit_lens.evaluation.labelled.images import OBJECT_COVER, Change, LabelledImage, covered
from llavit_lens.evaluation.readability.counts import Tally
from llavit_lens.evaluation.readability.measures import ahead, log_prob_of
from llavit_lens.evaluation.readability.spoken import Vocabulary
from llavit_lens.lens.follow import log_probabilities
from llavit_lens.results.words import Words
from llavit_lens.vlm.trace import Trace

Read = tuple[Trace, Words]
"""A pass of the model, and the logit lens of all its states."""


def count_change(
    tally: Tally,
    picture: LabelledImage,
    change: Change,
    before: Read,
    after: Read,
    vocabulary: Vocabulary,
) -> None:
    """Count three measures, named after the kind of the change; states of both passes are compared.

    `_follow`: share of tokens at the place where the new word gained on the old one, in log-odds;
    half where nothing moved. `_switch`: share of them where the old word was ahead before and the
    new one is after; a quarter for two guesses. `_stay`: of tokens that show no changed pixel, the
    share whose first word is the same. A change whose words the model cannot tell apart is left out
    of the first two.
    """
    layout = before[0].layout
    place = covered(layout, change.mask) >= OBJECT_COVER
    old, new = vocabulary.ids(change.old), vocabulary.ids(change.new)
    if place.any() and old and new and not old & new:
        odds = []
        where = np.flatnonzero(place).tolist()
        ids = sorted(old | new)
        for trace, words in (before, after):
            found = log_probabilities(trace, words, ids, where)
            log_p = {token: found[:, :, i] for i, token in enumerate(ids)}
            odds.append(log_prob_of(new, log_p) - log_prob_of(old, log_p))
        follow, switch = ahead(odds[1], odds[0]), (odds[0] < 0) & (odds[1] > 0)
        for name, right, chance in (("follow", follow, 0.5), ("switch", switch, 0.25)):
            n = len(where)
            tally.add(
                (f"{change.kind}_{name}", None), right.sum(1), n, np.full(len(right), n * chance)
            )
    changed = (np.asarray(picture.image) != np.asarray(change.image)).any(2)
    elsewhere = layout.on_image & (covered(layout, changed) == 0)
    same = (before[1].ids[:, elsewhere, 0] == after[1].ids[:, elsewhere, 0]).sum(1)
    tally.add((f"{change.kind}_stay", None), same, int(elsewhere.sum()))
