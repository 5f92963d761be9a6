"""Counterfactuals: an object is changed in the image; do the words there change, and only there?"""

from __future__ import annotations

import numpy as np

from llavit_lens.evaluation.labelled.labelled_images import Change, LabelledImage
from llavit_lens.evaluation.labelled.patch_labels import covered, shows
from llavit_lens.evaluation.readability.measures import ahead, log_prob_of
from llavit_lens.evaluation.readability.tally import Tally
from llavit_lens.evaluation.readability.word_tokens import WordTokens
from llavit_lens.lens.follow import log_probabilities
from llavit_lens.results.words import Words
from llavit_lens.vlm.trace import Trace

LensPass = tuple[Trace, Words]
"""A pass of the model, and the logit lens of all its states."""


def count_change(
    tally: Tally,
    image: LabelledImage,
    change: Change,
    before: LensPass,
    after: LensPass,
    word_tokens: WordTokens,
) -> None:
    """Count three measures, named after the kind of the change; states of both passes are compared.

    `_follow`: share of tokens on the changed object where the new word gained on the old one, in
    log-odds; half where nothing moved. `_switch`: share of them where the old word was ahead before
    and the new one is after; a quarter for two guesses. `_stay`: of tokens that show no changed
    pixel, the share with the same first word. A change with words that the model cannot tell apart
    is left out of the first two.
    """
    layout = before[0].layout
    on_object = np.flatnonzero(shows(covered(layout, change.mask))).tolist()
    old, new = word_tokens.ids(change.old), word_tokens.ids(change.new)
    if on_object and old and new and not old & new:
        odds = []
        ids = sorted(old | new)
        for trace, words in (before, after):
            values = log_probabilities(trace, words, ids, on_object)
            log_p = {token: values[:, :, i] for i, token in enumerate(ids)}
            odds.append(log_prob_of(new, log_p) - log_prob_of(old, log_p))
        follow, switch = ahead(odds[1], odds[0]), (odds[0] < 0) & (odds[1] > 0)
        n = len(on_object)
        for name, right, chance in (("follow", follow, 0.5), ("switch", switch, 0.25)):
            by_chance = np.full(len(right), n * chance)
            tally.add((f"{change.kind}_{name}", None), right.sum(1), n, by_chance)
    changed = (np.asarray(image.image) != np.asarray(change.image)).any(2)
    elsewhere = layout.on_image & (covered(layout, changed) == 0)
    same = (before[1].ids[:, elsewhere, 0] == after[1].ids[:, elsewhere, 0]).sum(1)
    tally.add((f"{change.kind}_stay", None), same, int(elsewhere.sum()))
