"""Does this checkpoint, on this backend, attend as it says? Verified by what attention does.

Shape letters: L tokens, H query heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.attended import attended_keys, changed_states
from llavit_lens.vlm.vlm import DEFAULT_PROMPT, VLM, ImageSource, Prompt

Mode = Literal["causal", "bidirectional", "none"]


@dataclass(frozen=True)
class VisualAttentionReport:
    """What `check_visual_attention` found.

    Attributes:
        model: its name.
        implementation: what the decoder attends by, such as "sdpa".
        visual_attention: what the config says visual tokens attend to: "causal", "bidirectional"
            (Eq. 8) or "none" (Eq. 5).
        n_layers, n_heads, n_tokens, n_visual: what was looked at: every pair of tokens, in every
            head of every layer.
        failures: one line for each layer and kind of pair that is wrong, empty if all is right.
    """

    model: str
    implementation: str
    visual_attention: Mode
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
            raise ConfigurationError(
                f"{self.model} does not attend as its config says (visual_attention="
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
    raise_on_failure: bool = True,
) -> VisualAttentionReport:
    """Verify who attends to whom: Eq. 8 exactly on the visual tokens, nothing from later text.

    Three tests, which need no attention weights and so work with every backend:

    - every pair of tokens in every head: attention is made uniform, and the result of a token then
      holds exactly zero of those that it does not attend to (see `attended_keys`);
    - with "eager" attention, the pattern says the same;
    - the embedding of one token is changed (of the last visual one, of text before and behind the
      picture), and no state that must not depend on it changes by a bit. This finds leaks outside
      of attention, too.

    Whatever is set on the model when this is called, such as a knockout, is checked with it.

    Raises:
        ImageError, ConfigurationError: as `VLM.trace`; with `raise_on_failure`, what is wrong.
    """
    prepared = vlm.prepare(image, prompt)
    config = vlm.model.config
    mode: Mode = getattr(config, "visual_attention", "causal")
    is_visual = _is_visual(prepared)
    by_result, by_pattern = attended_keys(vlm, prepared)
    failures: list[str] = []
    for layer, window in enumerate(_windows(vlm)):
        wanted = expected_mask(is_visual, mode, window)
        failures += _differences(by_result[layer], wanted, is_visual, f"layer {layer}")
        if by_pattern is not None:
            # the pattern of tokens without update is made and not used
            used = ~is_visual if mode == "none" else torch.ones_like(is_visual)
            told = by_pattern[layer] & used[:, None]
            failures += _differences(told, wanted, is_visual, f"the pattern of layer {layer}")
    for token in _changed_tokens(is_visual):
        failures += _leaks(changed_states(vlm, prepared, token), token, is_visual, mode)
    report = VisualAttentionReport(
        model=vlm.name,
        implementation=vlm.model.model.language_model.config._attn_implementation,
        visual_attention=mode,
        n_layers=len(by_result),
        n_heads=by_result.shape[1],
        n_tokens=prepared.length,
        n_visual=int(is_visual.sum()),
        failures=tuple(dict.fromkeys(failures)),
    )
    return report.raise_on_failure() if raise_on_failure else report


def expected_mask(is_visual: Tensor, mode: Mode, window: int | None = None) -> Tensor:
    """bool [L, L], whether query i attends to key j.

    "causal": j <= i, and i - window < j in a sliding window; "bidirectional": or both are visual
    (Eq. 8); "none": causal for text, and nothing for visual tokens, which have no update (Eq. 5).
    """
    token = torch.arange(len(is_visual))
    query, key = token[:, None], token[None]
    allowed = key <= query
    if window is not None:
        allowed = allowed & (key > query - window)
    if mode == "bidirectional":
        return allowed | (is_visual[:, None] & is_visual[None])
    return allowed & ~is_visual[:, None] if mode == "none" else allowed


def _is_visual(prompt: Prompt) -> Tensor:
    """bool [L], those off the picture included."""
    is_visual = torch.zeros(prompt.length, dtype=torch.bool)
    is_visual[np.concatenate([prompt.layout.positions, prompt.layout.off_picture])] = True
    return is_visual


def _windows(vlm: VLM) -> list[int | None]:
    """The sliding window of every layer."""
    layers: Any = vlm.model.model.language_model.layers
    return [getattr(layer.self_attn, "sliding_window", None) for layer in layers]


def _differences(found_HLL: Tensor, wanted_LL: Tensor, is_visual: Tensor, where: str) -> list[str]:
    """A line for each kind of pair that attends and should not, or the other way round."""
    lines = []
    for wrong_HLL, verb in (
        (found_HLL & ~wanted_LL, "attends"),
        (wanted_LL & ~found_HLL, "does not attend"),
    ):
        for query_kind, query in (("visual", is_visual), ("text", ~is_visual)):
            for key_kind, key in (("visual", is_visual), ("text", ~is_visual)):
                pairs = (wrong_HLL & query[:, None] & key[None]).nonzero()
                if len(pairs):
                    _, i, j = pairs[0].tolist()
                    heads = len(set(pairs[:, 0].tolist()))
                    lines.append(
                        f"{where}: {query_kind} token {i} {verb} to {key_kind} token {j}, "
                        f"{'later' if j > i else 'earlier' if j < i else 'itself'} "
                        f"({len(pairs)} such pairs in {heads} of {len(wrong_HLL)} heads)"
                    )
    return lines


def _changed_tokens(is_visual: Tensor) -> list[int]:
    """The last visual token, and text: the first, the first behind the picture and the last."""
    visual = is_visual.nonzero().squeeze(1).tolist()
    text = (~is_visual).nonzero().squeeze(1).tolist()
    behind = [token for token in text if token > visual[-1]]
    return sorted({visual[-1], *text[:1], *behind[:1], *text[-1:]})


def _leaks(changed: Tensor, token: int, is_visual: Tensor, mode: Mode) -> list[str]:
    """A line if states [layers, L] changed with a token that should not have.

    Should not: those before it; with "bidirectional", for a visual token, those before the first
    visual one, as a state may be reached through several layers; and with "none" visual ones.
    """
    first = int(is_visual.nonzero()[0])
    start = min(first, token) if mode == "bidirectional" and is_visual[token] else token
    may_change = torch.arange(len(is_visual)) >= start
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
