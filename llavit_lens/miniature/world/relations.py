"""How things lie to each other in a scene."""

from __future__ import annotations

from collections import Counter

from llavit_lens.miniature.world.scenes import SIZE, Scene, Thing

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
    """Things that lie clearly in a ninth of the image, and no other thing's center with them."""
    count = Counter(t.position for t in scene.things)
    return [t for t in scene.things if t.place_is_clear and count[t.position] == 1]


def unique_relations(scene: Scene, clearly: bool = False) -> list[tuple[Thing, str, Thing]]:
    """(thing, relation, other) where `thing` is the only one in that relation to `other`.

    clearly: no other thing lies on that side either, though so much above or beside `other` that it
    is in neither relation.
    """
    unique = []
    for other in scene.things:
        rest = [t for t in scene.things if t is not other]
        for how in INVERSE:
            related = [t for t in rest if relation(t, other) == how]
            between = [
                t for t in rest if relation(t, other) is None and lies_to_side(t, other, how)
            ]
            if len(related) == 1 and not (clearly and between):
                unique.append((related[0], how, other))
    return unique


def lies_to_side(a: Thing, b: Thing, how: str) -> bool:
    """Whether `a` is at least a patch to that side of `b`, however far along the other axis."""
    dx, dy = a.x - b.x, a.y - b.y
    return {"left of": -dx, "right of": dx, "above": -dy, "below": dy}[how] >= SIZE // 8
