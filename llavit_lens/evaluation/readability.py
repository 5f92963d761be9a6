"""Do the words that a lens reads off a patch name what the patch shows?

A hit is a true word among the top k. Chance is measured, not assumed: the same words against the
truth of a patch of another picture, so that words which are always there earn nothing.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from llavit_lens.errors import ConfigurationError


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
