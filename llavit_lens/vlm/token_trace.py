"""The residual stream at tokens of text: of a prompt, or of the answer that a model wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from llavit_lens.card import card, facts, to_type
from llavit_lens.errors import ConfigurationError, printable
from llavit_lens.inputs import whole_number
from llavit_lens.vlm.away import AbsentReadout, Portable
from llavit_lens.vlm.in_words import stored_as
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.readout import Readout


@dataclass(eq=False)
class TokenTrace(Portable):
    """What some tokens of text left in the residual stream, with what a lens needs to read it.

    It can be pickled as a `Trace`.

    Attributes:
        hidden: [layers + 1, m, d_model], in the model's dtype. Index 0 is the word embedding as
            the first layer gets it, index l the output of decoder layer l, BEFORE the final norm.
        positions: int64 [m], of the tokens in the sequence, ascending.
        ids: int64 [m], of the tokens.
        prompt_length: tokens of the prompt; those from there on belong to the answer.
        readout: as that of `Trace`.
        provenance: as that of `Trace`.
    """

    hidden: Tensor
    positions: Tensor
    ids: Tensor
    prompt_length: int
    readout: Readout
    provenance: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        states, m, d_model = self.hidden.shape
        model = printable(str(self.provenance.get("model")), 60)
        return (
            f"TokenTrace({model}, {states} states of {m} token{'s' * (m != 1)} of text, "
            f"{d_model} numbers each)"
        )

    def _repr_html_(self) -> str:
        """What the trace holds, and what to type next."""
        states, m, d_model = self.hidden.shape
        is_here = not isinstance(self.readout, AbsentReadout)
        text = self.readout.tokenizer.decode(self.ids) if is_here else ""
        return card(
            repr(self),
            facts(
                {
                    **({"tokens": printable(text, 400)} if is_here else {}),
                    "hidden": f"{states} x {m} x {d_model}, {stored_as(self.hidden)}",
                }
            ),
            to_type({"words = ll.logit_lens(trace, k=3)": "the words at every token and layer"}),
        )

    @property
    def n_layers(self) -> int:
        """Number of decoder layers; `hidden` has one state more."""
        return len(self.hidden) - 1


@dataclass(eq=False)
class TracedAnswer:
    """What a model wrote, and the states from which it wrote it.

    Attributes:
        text: the answer.
        ids: int64 [A], its tokens, with the end token if the model wrote it.
        trace: of the prompt's last token and of all tokens of the answer but the last, A of them:
            the state at one of them is what the next token was written from. The last token of
            the answer is read by no pass, so it has no state.
    """

    text: str
    ids: Tensor
    trace: TokenTrace

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        count = len(self.ids)
        return f"TracedAnswer({printable(self.text, 80)!r}, {count} token{'s' * (count > 1)})"

    def _repr_html_(self) -> str:
        """The answer, and what to type next."""
        return card(
            repr(self),
            facts({"answer": printable(self.text, 400)}),
            to_type(
                {
                    "ll.logit_lens(answer.trace, k=3).plot()": "what each token of the answer "
                    "would have been at every layer",
                }
            ),
        )


def text_positions(prompt: Prompt, tokens: str | int | Sequence[int]) -> list[int]:
    """Positions of the tokens of text that `VLM.trace` is asked for, ascending.

    Raises:
        ConfigurationError: tokens that are not there, or are visual.
    """
    visual = {place for layout in prompt.layouts for place in layout.all_positions.tolist()}
    if isinstance(tokens, str):
        if tokens not in ("visual", "all"):
            raise ConfigurationError(
                f"tokens={tokens!r}: give 'visual', 'all' or a list of positions"
            )
        return [] if tokens == "visual" else sorted({*range(prompt.length)} - visual)
    chosen = set()
    # numbers of numpy and torch are sequences by their class, and of no axis
    several = isinstance(tokens, Iterable) and getattr(tokens, "ndim", 1) > 0
    places: Any = tokens if several else [tokens]
    for token in places:
        position = whole_number(token, "a token's position")
        if not -prompt.length <= position < prompt.length:
            raise ConfigurationError(
                f"there is no token {token}: the prompt has {prompt.length} tokens"
            )
        chosen.add(position % prompt.length)
    if both := sorted(chosen & visual):
        raise ConfigurationError(
            f"token {both[0]} is a visual one: its states are in trace.hidden; name tokens of text"
        )
    return sorted(chosen)
