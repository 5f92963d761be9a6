"""How things lie to each other in a scene."""

from __future__ import annotations

from collections import Counter

from llavit_lens.miniature.scenes import SIZE, Scene, Thing

INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def relation(a: Thing, b: Thing) -> str | None:
    """How `a` lies to `b`; None where neither direction clearly dominates."""
    dx, dy = a.x - b.x, a.y - b.y
    if max(abs(dx), abs(dy)) < SIZE // 8:
        return None
    if abs(dx) > abs(dy) * 1.3:
        return "left of" if dx < 0 else "right of"
    if abs(dy) > abs(dx) * 1.3:
        return "above" if dy < 0 else "below"
    return None


def alone_in_its_place(scene: Scene) -> list[Thing]:
    """Things that lie clearly in a ninth of the picture, and no other thing's center with them."""
    count = Counter(t.position for t in scene.things)
    return [t for t in scene.things if t.place_is_clear and count[t.position] == 1]


def only_related(scene: Scene) -> list[tuple[Thing, str, Thing]]:
    """(thing, relation, other) where `thing` is the only one in that relation to `other`."""
    found = []
    for other in scene.things:
        for how in INVERSE:
            there = [t for t in scene.things if t is not other and relation(t, other) == how]
            if len(there) == 1:
                found.append((there[0], how, other))
    return found
