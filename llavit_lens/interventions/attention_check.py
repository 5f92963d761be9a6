"""Does this checkpoint, on this backend, attend as it says? Verified by what attention does.

Shape letters: L tokens, H query heads.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.open import ImageSource
from llavit_lens.inputs import DEFAULT_PROMPT
from llavit_lens.interventions.attention_probes import (
    AttendedPairs,
    changed_states,
    look_at_attention,
)
from llavit_lens.vlm.expected_attention import Mode, expected_mask, sliding_windows, visual_mask
from llavit_lens.vlm.vlm import VLM, require_vlm


class _Kind(NamedTuple):
    """What is wrong with a pair of tokens, and where."""

    layer: int
    by_pattern: bool
    wanted: bool
    """It should attend and does not."""
    visual_query: bool
    visual_key: bool


@dataclass(frozen=True)
class VisualAttentionReport:
    """What `check_visual_attention` found.

    Attributes:
        model: its name.
        implementation: what the decoder attends by, such as "sdpa".
        visual_attention: what visual tokens should attend to: "causal", "bidirectional" (Eq. 8),
            "self" or "none" (Eq. 5).
        by_config: whether the config says so, and not the caller.
        n_layers, n_heads, n_tokens, n_visual: what was looked at: every pair of tokens, in every
            head of every layer.
        failures: one line for each layer and kind of pair that is wrong, empty if all is right.
    """

    model: str
    implementation: str
    visual_attention: Mode
    by_config: bool
    n_layers: int
    n_heads: int
    n_tokens: int
    n_visual: int
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.failures

    def raise_on_failure(self) -> VisualAttentionReport:
        """Itself, if all is right.

        Raises:
            ConfigurationError: it is not; with the first failure.
        """
        if self.failures:
            more = len(self.failures) - 1
            source = "its config says" if self.by_config else "it should"
            raise ConfigurationError(
                f"{self.model} does not attend as {source} (visual_attention="
                f"{self.visual_attention!r}) by {self.implementation!r}: {self.failures[0]}"
                + (f" (and {more} more: see the report's failures)" if more else "")
                + "; do not trust what is measured on it"
            )
        return self

    def __str__(self) -> str:
        looked_at = (
            f"{self.model}, visual_attention={self.visual_attention!r}, by "
            f"{self.implementation!r}: all pairs of {self.n_tokens} tokens ({self.n_visual} "
            f"visual) in {self.n_layers} layers of {self.n_heads} heads"
        )
        return "\n".join(
            [f"{looked_at}: {'as it should be' if self.passed else 'WRONG'}", *self.failures]
        )


def check_visual_attention(
    vlm: VLM,
    image: ImageSource,
    prompt: str = DEFAULT_PROMPT,
    *,
    mode: Mode | None = None,
    raise_on_failure: bool = True,
) -> VisualAttentionReport:
    """Verify which token attends to which: Eq. 8 exactly on the visual tokens, no later text.

    Three tests, which need no attention weights and so work with every backend:

    - every pair of tokens in every head: attention is made uniform, and the result of a token then
      holds exactly zero of those that it does not attend to (see `attention_probes`);
    - with "eager" attention, the pattern says the same;
    - the embedding of one token is changed (of the last visual one, of text before and after the
      image), and no state that must not depend on it changes by a bit. This finds leaks outside
      of attention, too.

    Whatever is set on the model when this is called, such as a knockout, is checked with it:

        with ll.visual_attention(vlm, "self"):
            ll.check_visual_attention(vlm, "scene.png", mode="self")

    Args:
        mode: what visual tokens should attend to in all layers; None is what the config says.

    Raises:
        ImageError, ConfigurationError: as `VLM.trace`; there is no such mode; with
            `raise_on_failure`, what is wrong.
    """
    if mode is not None and mode not in get_args(Mode):
        raise ConfigurationError(f"mode={mode!r}: pass one of {', '.join(get_args(Mode))}.")
    require_vlm(vlm)
    prepared = vlm.prepare(image, prompt)
    expected: Mode = vlm.visual_attention if mode is None else mode
    is_visual = visual_mask(prepared)
    wrong = _WrongPairs(is_visual, expected, sliding_windows(vlm.decoder))
    look_at_attention(vlm, prepared, wrong.look)
    failures = wrong.lines()
    for token in _changed_tokens(is_visual):
        failures += _leaks(changed_states(vlm, prepared, token), token, is_visual, expected)
    report = VisualAttentionReport(
        model=vlm.name,
        implementation=vlm.decoder.attn_implementation,
        visual_attention=expected,
        by_config=mode is None,
        n_layers=len(wrong.windows),
        n_heads=wrong.n_heads,
        n_tokens=prepared.length,
        n_visual=int(is_visual.sum()),
        failures=tuple(failures),
    )
    return report.raise_on_failure() if raise_on_failure else report


class _WrongPairs:
    """Pairs that attend and should not, or the other way round, counted by layer and kind."""

    def __init__(self, is_visual: Tensor, mode: Mode, windows: list[int | None]) -> None:
        self.is_visual, self.mode, self.windows = is_visual, mode, windows
        self.n_heads = 0
        self._counts: Counter[_Kind] = Counter()
        self._heads: defaultdict[_Kind, set[int]] = defaultdict(set)
        self._examples: dict[_Kind, tuple[int, int]] = {}

    def look(self, seen: AttendedPairs) -> None:
        """Compare with what should be."""
        self.n_heads = len(seen.pairs)
        attends_HLW, keys = seen.pairs, slice(seen.first, seen.first + seen.pairs.shape[-1])
        expected_LW = expected_mask(self.is_visual, self.mode, self.windows[seen.layer])[:, keys]
        if seen.by_pattern and self.mode == "none":
            # the pattern of tokens without update is made and not used
            attends_HLW = attends_HLW & ~self.is_visual[:, None]
        wrong_HLW = attends_HLW != expected_LW
        if not bool(wrong_HLW.any()):
            return
        for wanted, visual_query, visual_key in product((False, True), repeat=3):
            kind = _Kind(seen.layer, seen.by_pattern, wanted, visual_query, visual_key)
            of_kind_LW = (
                (expected_LW == wanted)
                & (self.is_visual[:, None] == visual_query)
                & (self.is_visual[keys] == visual_key)
            )
            pairs = (wrong_HLW & of_kind_LW).nonzero()
            if len(pairs):
                _, query, key = pairs[0].tolist()
                self._examples.setdefault(kind, (query, seen.first + key))
                self._counts[kind] += len(pairs)
                self._heads[kind].update(pairs[:, 0].unique().tolist())

    def lines(self) -> list[str]:
        """One for each kind."""
        return [self._line(kind) for kind in sorted(self._counts)]

    def _line(self, kind: _Kind) -> str:
        i, j = self._examples[kind]
        query, key = ("visual" if v else "text" for v in (kind.visual_query, kind.visual_key))
        return (
            f"{'the pattern of ' if kind.by_pattern else ''}layer {kind.layer}: {query} token {i} "
            f"{'does not attend' if kind.wanted else 'attends'} to {key} token {j}, "
            f"{'later' if j > i else 'earlier' if j < i else 'itself'} ({self._counts[kind]} such "
            f"pairs in {len(self._heads[kind])} of {self.n_heads} heads)"
        )


def _changed_tokens(is_visual: Tensor) -> list[int]:
    """The last visual token, and text: the first, the first after the image and the last."""
    visual = is_visual.nonzero().squeeze(1).tolist()
    text = (~is_visual).nonzero().squeeze(1).tolist()
    after = [token for token in text if token > visual[-1]]
    return sorted({visual[-1], *text[:1], *after[:1], *text[-1:]})


def _leaks(changed: Tensor, token: int, is_visual: Tensor, mode: Mode) -> list[str]:
    """A line if states [layers, L] changed with a token that should not have.

    Should not: those before it; with "bidirectional", for a visual token, those before the first
    visual one, as a state may be reached through several layers; and with "none" visual ones.
    """
    first = int(is_visual.nonzero()[0])
    start = min(first, token) if mode == "bidirectional" and is_visual[token] else token
    may_change = torch.arange(len(is_visual), device="cpu") >= start
    if mode == "none":
        may_change &= ~is_visual
        may_change[token] = True
    for layer, states in enumerate(changed):
        leaked = (states & ~may_change).nonzero().squeeze(1).tolist()
        if leaked:
            kind = "visual" if is_visual[token] else "text"
            return [
                f"after layer {layer}: the states of {len(leaked)} tokens, the first of them token "
                f"{leaked[0]}, change with {kind} token {token}, on which they must not depend"
            ]
    return []
