"""Does this checkpoint, on this backend, attend as it says? Verified by what attention does.

Shape letters: L tokens, H query heads.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
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
    rounding,
    seen_layers,
)
from llavit_lens.model.decoders import rebuilds
from llavit_lens.vlm.expected_attention import (
    Mode,
    expected_mask,
    own_blocks,
    sliding_windows,
    visual_mask,
)
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
        unseen: layers in which pairs cannot be seen, as they mix tokens without a pattern; there,
            it is looked at what states depend on, and no more.
        rounding: changes of a state by less than this share of the largest one count as none. It is
            0 but in mixtures of experts.
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
    unseen: tuple[int, ...] = ()
    rounding: float = 0.0

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
        if self.unseen:
            looked_at += f" (but layers {', '.join(map(str, self.unseen))}, which have no pattern)"
        if self.rounding:
            looked_at += f" (changes under {self.rounding:.0e} are rounding: it has experts)"
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

    Three tests, which need no attention weights and so work with every backend and decoder (layers
    that mix tokens by a convolution or recurrence have the third alone):

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
        mode: what visual tokens should attend to in all layers; None is what the config says, with
            all that the model's own design adds, such as tokens that start an image.

    Raises:
        ImageError, ConfigurationError: as `VLM.trace`; there is no such mode; with
            `raise_on_failure`, what is wrong.
    """
    if mode is not None and mode not in get_args(Mode):
        raise ConfigurationError(f"mode={mode!r}: pass one of {', '.join(get_args(Mode))}.")
    require_vlm(vlm)
    prepared = vlm.prepare(image, prompt)
    expected: Mode = vlm.visual_attention if mode is None else mode
    _check_chunks(vlm, prepared.length)
    is_visual, blocks = visual_mask(prepared), own_blocks(vlm, prepared)
    of_mask = None if blocks is not None and mode is None else expected
    windows = sliding_windows(vlm.decoder)
    masks = {w: expected_mask(is_visual, of_mask, w, blocks) for w in set(windows)}
    of_layers = [masks[window] for window in windows]
    wrong = _WrongPairs(is_visual, expected, of_layers, leaves_out=rebuilds(vlm.model))
    look_at_attention(vlm, prepared, wrong.look)
    failures = wrong.lines()
    seen = seen_layers(vlm)
    unseen = [layer for layer in range(len(windows)) if layer not in seen]
    # what mixes tokens without a mask may look at all that came before
    before = expected_mask(is_visual, "none" if expected == "none" else "causal")
    reach = [mask | before if layer in unseen else mask for layer, mask in enumerate(of_layers)]
    for token in _changed_tokens(is_visual):
        failures += _leaks(changed_states(vlm, prepared, token), token, is_visual, reach)
    report = VisualAttentionReport(
        model=vlm.name,
        implementation=vlm.decoder.attn_implementation,
        visual_attention=expected,
        by_config=mode is None,
        n_layers=len(windows),
        n_heads=wrong.n_heads,
        n_tokens=prepared.length,
        n_visual=int(is_visual.sum()),
        failures=tuple(failures),
        unseen=tuple(unseen),
        rounding=rounding(vlm),
    )
    return report.raise_on_failure() if raise_on_failure else report


class _WrongPairs:
    """Pairs that attend and should not, or the other way round, counted by layer and kind."""

    def __init__(
        self, is_visual: Tensor, mode: Mode, expected: list[Tensor], leaves_out: bool
    ) -> None:
        self.is_visual, self.mode, self.expected = is_visual, mode, expected
        self.leaves_out = leaves_out
        """Whether the results of tokens without update are zero by themselves."""
        self.n_heads = 0
        self._counts: Counter[_Kind] = Counter()
        self._heads: defaultdict[_Kind, set[int]] = defaultdict(set)
        self._examples: dict[_Kind, tuple[int, int]] = {}

    def look(self, seen: AttendedPairs) -> None:
        """Compare with what should be."""
        self.n_heads = len(seen.pairs)
        attends_HLW, keys = seen.pairs, slice(seen.first, seen.first + seen.pairs.shape[-1])
        expected_LW = self.expected[seen.layer][:, keys]
        if self.mode == "none" and (seen.by_pattern or not self.leaves_out):
            # what tokens without update attend to is made and not used
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


def _leaks(changed: Tensor, token: int, is_visual: Tensor, expected: list[Tensor]) -> list[str]:
    """A line if states [layers, L] changed with a token that should not have.

    Should: those that attend, in some layer, to a state that changed before it.
    """
    may_change = torch.zeros_like(is_visual)
    may_change[token] = True
    for layer, (states, attends_LL) in enumerate(zip(changed, expected, strict=True)):
        may_change = may_change | (attends_LL & may_change).any(1)
        leaked = (states & ~may_change).nonzero().squeeze(1).tolist()
        if leaked:
            kind = "visual" if is_visual[token] else "text"
            return [
                f"after layer {layer}: the states of {len(leaked)} tokens, the first of them token "
                f"{leaked[0]}, change with {kind} token {token}, on which they must not depend"
            ]
    return []


def _check_chunks(vlm: VLM, length: int) -> None:
    """Raise ConfigurationError where layers that attend in chunks would have more than one."""
    config = vlm.decoder.config
    chunk = getattr(config, "attention_chunk_size", None)
    kinds: Sequence[str] = getattr(config, "layer_types", None) or ()
    if chunk and length > chunk and "chunked_attention" in kinds:
        raise ConfigurationError(
            f"{vlm.name} attends in chunks of {chunk} tokens, and the prompt has {length}, which "
            "this check does not know; give a smaller image or a shorter prompt"
        )
