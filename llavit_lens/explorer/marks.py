"""Which parts of an answer are right, where the truth of the image is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llavit_lens.explorer.wording import CUT, escape_markdown
from llavit_lens.miniature.world.claims import Claim, claims, unmentioned
from llavit_lens.miniature.world.right_answers import (
    is_right,
    right_answers,
    split_yes_or_no,
    true_besides,
)
from llavit_lens.miniature.world.scenes import Scene

MARKED = (
    "✓ right, ✗ wrong: checked with what was drawn in this scene. A sentence without a mark says "
    "something that this truth does not cover, or repeats another, or is cut off."
)
NOT_COVERED = "Not marked: the truth of this scene does not cover this question and answer."
UNKNOWN = "Not marked: what is true of your own image is not known here."


@dataclass(frozen=True)
class MarkedAnswer:
    """An answer in parts.

    Attributes:
        parts: its sentences; of a question with an answer of one word the whole answer.
        right: the right answers, the best one first, where the answer is wrong.
        left_out: the things of the scene that a description does not name.
    """

    parts: tuple[Claim, ...]
    right: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def is_marked(self) -> bool:
        return any(part.right is not None for part in self.parts)

    @property
    def verdict(self) -> bool | None:
        """Of the whole answer: wrong if a part is; right if every part is and nothing is left out;
        else not sure."""
        if any(part.right is False for part in self.parts):
            return False
        is_right = self.parts and all(part.right for part in self.parts) and not self.left_out
        return True if is_right else None

    def markdown(self) -> str:
        """The answer with its marks; symbol, word and color say the same."""
        text = " ".join(_with_mark(part) for part in self.parts)
        if self.right:
            text += f" correct: **{escape_markdown(self._right_in_words)}**"
        if self.left_out:
            text += f" :orange-badge[not named: {escape_markdown(', '.join(self.left_out))}]"
        return text

    @property
    def _right_in_words(self) -> str:
        return " or ".join(answer.replace("-", " ") for answer in self.right)


def marked(scene: Scene, question: str, answer: str) -> MarkedAnswer:
    """Judge an answer by the truth of a scene.

    A question whose answer the scene gives is judged as a whole; a sentence after "yes" or "no" on
    its own. Any other answer is judged sentence by sentence, whatever was asked.
    """
    right = right_answers(scene, question)
    if right:
        verdict = is_right(answer, right, true_besides(scene, question))
        if verdict is not None:
            head, rest = split_yes_or_no(answer)
            parts = (Claim(head, verdict), *_sentences(scene, rest))
            return MarkedAnswer(parts, () if verdict else right)
    parts = _sentences(scene, answer)
    describes = sum(part.right is not None for part in parts) > 1
    left_out = tuple(unmentioned(scene, answer)) if describes and not right else ()
    return MarkedAnswer(parts, left_out=left_out)


def _sentences(scene: Scene, text: str) -> tuple[Claim, ...]:
    """The sentences of a text; one that repeats another or is cut off is not judged."""
    parts = claims(scene, text)
    if parts and (parts[-1].text.endswith(CUT) or not _is_ended(parts)):
        parts[-1] = replace(parts[-1], right=None)
    said: set[str] = set()
    for number, part in enumerate(parts):
        if part.text.casefold() in said:
            parts[number] = replace(part, right=None)
        said.add(part.text.casefold())
    return tuple(parts)


def _is_ended(parts: Sequence[Claim]) -> bool:
    """Whether the last sentence ends as those before it; one alone may have no full stop."""
    return len(parts) == 1 or parts[-1].text.endswith((".", "!", "?"))


def _with_mark(part: Claim) -> str:
    text = escape_markdown(part.text)
    if part.right is None:
        return text
    return f"{text} :green[✓]" if part.right else f"{text} :red-badge[✗ wrong]"
