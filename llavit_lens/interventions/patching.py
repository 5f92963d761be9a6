"""Activation patching: activations of one image in the place of another's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import Images
from llavit_lens.images.regions import Box, Region, area_of, cells_of, layout_with, shape_of
from llavit_lens.inputs import DEFAULT_PROMPT
from llavit_lens.interventions.passes import Pass, follow_passes
from llavit_lens.interventions.token_rows import BatchTokens, read_tokens, write_tokens
from llavit_lens.lens.text_tokens import check_position
from llavit_lens.model.hook_points import PATTERN_HOOKS, ROTATED_HOOKS
from llavit_lens.vlm.hooks import NamedHook, Names, points_named
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.vlm import VLM, require_vlm

Positions = Literal["visual", "last", "all"] | Sequence[int]
"""All visual tokens, the last token of the prompt, all its tokens, or tokens by their number."""

PROJECTOR_OUTPUT = "blocks.0.hook_resid_pre"
"""The visual tokens as the projector made them, and the word embeddings of the text. In some
families (Qwen3-VL, Granite 4 Vision, Gemma 4) later layers are given features of the image too, and
those stay."""


def patch(
    vlm: VLM,
    source: Images | tuple[Images, str],
    names: Names = PROJECTOR_OUTPUT,
    *,
    positions: Positions | None = None,
    from_region: Region | None = None,
    to_region: Region | None = None,
) -> AbstractContextManager[None]:
    """Inside, prompts are read with activations of another image and prompt.

    with ll.patch(vlm, ("dog.jpg", question), from_region=(10, 10, 120, 90)):
        vlm.generate("cat.jpg", question)  # the cat's image with the dog's patches

    The source runs once, on entry, with whatever hooks are set then. A generation is patched in the
    prompt's pass alone; later steps see what that pass cached. An answer after the prompt is left
    as it is, too.

    Args:
        source: image, or image and prompt; several images in a list.
        names: of hook points, all patched with what the source had at the same one. Rows of scores
            and patterns are those of the token that attends, so both prompts must be equally long.
            Queries and keys at hook_rot_q and hook_rot_k are rotated for the place that they had in
            the source, and keep it wherever they are put; those at hook_q and hook_k get their new
            tokens'.
        positions: tokens of both prompts; default: all visual tokens, unless regions are given.
            Negative numbers count from the end.
        from_region: patches of the source, as cells, or as a box or mask, which hold those that
            they cover by half (see `Region`).
        to_region: the patches that they replace, as many; default: those of the same region.
            Boxes have to hold patches in the same arrangement; cells are taken in their order.

    Raises:
        ImageError, ConfigurationError: as `VLM.trace`; `vlm` is not a VLM; positions together with
            regions; regions or tokens that are not there, are not as many, or have no rows at a
            hook point. In the pass: its images are unknown (see `VLM.reading`), or queries and keys
            are rotated and there is padding before a prompt.
    """
    require_vlm(vlm)
    if isinstance(source, tuple) and len(source) != 2:
        raise ConfigurationError(
            f"the source is an image, or (image, prompt), not a tuple of {len(source)}"
        )
    image, prompt = source if isinstance(source, tuple) else (source, DEFAULT_PROMPT)
    prepared = vlm.prepare(image, prompt)
    tokens = _PatchedTokens(prepared.layouts, positions, from_region, to_region)
    points = points_named(vlm.model, names)
    if not points:
        raise ConfigurationError("names holds no hook point: nothing would be patched")
    return _patched(vlm, prepared, tokens, points)


@contextmanager
def _patched(
    vlm: VLM, source: Prompt, patched: _PatchedTokens, points: list[str]
) -> Iterator[None]:
    taken: dict[str, Tensor] = {}
    with follow_passes(vlm.model, vlm.image_token_id) as passes:

        def take(activation: Tensor, hook: NamedHook) -> None:
            tokens = BatchTokens.of_samples([patched.in_source(passes.current)])
            taken[hook.name] = read_tokens(hook, activation, tokens, passes.current).detach()

        vlm.forward(source, logits_to_keep=1, fwd_hooks=[(points, take)])

        def put(activation: Tensor, hook: NamedHook) -> Tensor | None:
            current = passes.current
            if current.past:  # a step of a generation
                return None
            per_row = patched.in_target(current)
            tokens = BatchTokens.of_samples(per_row)
            new = taken[hook.name]
            if any(len(row) != len(new) for row in per_row):
                raise ConfigurationError(
                    f"{len(new)} tokens of the source cannot replace {len(per_row[0])}: give "
                    "regions of as many patches"
                )
            if hook.kind in PATTERN_HOOKS:
                _check_keys(hook.name, source.length, current)
            if hook.kind in ROTATED_HOOKS:
                _check_rotation(hook.name, current)
            repeated = new.repeat(len(per_row), *[1] * (new.ndim - 1))
            return write_tokens(hook, activation, tokens, current, repeated)

        with vlm.hooks([(points, put)]):
            yield


class _PatchedTokens:
    """Which tokens are taken, and where they are put."""

    def __init__(
        self,
        source: tuple[VisualLayout, ...],
        positions: Positions | None,
        from_region: Region | None,
        to_region: Region | None,
    ) -> None:
        if positions is not None and (from_region is not None or to_region is not None):
            raise ConfigurationError("give positions, or from_region and to_region, not both")
        if to_region is not None and from_region is None:
            raise ConfigurationError("to_region says where patches go; give from_region too")
        if isinstance(positions, str) and positions not in ("visual", "last", "all"):
            raise ConfigurationError(
                f"positions={positions!r}: give 'visual', 'last', 'all' or numbers of tokens"
            )
        if positions is not None and np.size(np.asarray(positions)) == 0:
            raise ConfigurationError("positions is empty: say which tokens are patched")
        self.positions: Positions = "visual" if positions is None else positions
        self.to_region = from_region if to_region is None else to_region
        if from_region is not None:
            self.source = layout_with(from_region, source)
        self.taken = None if from_region is None else cells_of(self.source, from_region)
        self.in_boxes = all(
            isinstance(area_of(region), Box) for region in (from_region, self.to_region)
        )

    def in_source(self, current: Pass) -> Tensor:
        """int64 [M], of the one prompt of the source."""
        if self.taken is None:
            return _tokens_of_row(self.positions, current, 0, current.is_visual.shape[1])
        return torch.from_numpy(self.source.positions[self.taken])

    def in_target(self, current: Pass) -> list[Tensor]:
        """int64 [M] for each sample of the pass."""
        if self.taken is None:
            lengths = enumerate(_prompt_lengths(current))
            return [_tokens_of_row(self.positions, current, row, n) for row, n in lengths]
        layouts = current.reading.layouts_of(len(current.is_visual), "patching a region")
        return [self._patches(of_images, current, row) for row, of_images in enumerate(layouts)]

    def _patches(self, layouts: tuple[VisualLayout, ...], current: Pass, row: int) -> Tensor:
        assert self.taken is not None and self.to_region is not None
        layout = layout_with(self.to_region, layouts)
        put = cells_of(layout, self.to_region)
        alike = shape_of(self.source, self.taken) == shape_of(layout, put)
        if len(self.taken) != len(put) or (self.in_boxes and not alike):
            raise ConfigurationError(
                f"from_region holds {_arrangement(self.source, self.taken)}, and to_region "
                f"{_arrangement(layout, put)}: choose regions of as many patches in the same "
                "arrangement, or name cells"
            )
        places = torch.from_numpy(layout.positions[put]) + _padding_before(current, row)
        if not bool(current.is_visual[row, places.to(current.is_visual.device)].all()):
            raise ConfigurationError("the tokens of this pass are not those of its image's layout")
        return places


def _tokens_of_row(positions: Positions, current: Pass, row: int, length: int) -> Tensor:
    """int64 [M], tokens of one sample. Its prompt has `length` tokens without padding."""
    before = _padding_before(current, row)
    if isinstance(positions, str):
        if positions == "visual":
            return current.is_visual[row].nonzero().squeeze(1).cpu()
        start = length - 1 if positions == "last" else 0
        return torch.arange(start, length, device="cpu") + before
    numbers = [check_position(position, length) for position in np.atleast_1d(positions).tolist()]
    return torch.tensor(numbers, dtype=torch.long, device="cpu") + before


def _prompt_lengths(current: Pass) -> list[int]:
    """Tokens of each sample's prompt, without padding and without an answer that may follow."""
    return current.reading.lengths_of(len(current.is_real)) or current.is_real.sum(1).tolist()


def _check_keys(name: str, source_length: int, current: Pass) -> None:
    """Rows of scores and patterns need the same prompt length, and no padding before it."""
    for row, length in enumerate(_prompt_lengths(current)):
        if length != source_length or _padding_before(current, row):
            raise ConfigurationError(
                f"{name} has a number for each token of the prompt, {source_length} in the source "
                f"and {length} here (or padding before them): patch another hook point"
            )


def _check_rotation(name: str, current: Pass) -> None:
    """Padding moves all other tokens on, so there would be two ways to count places."""
    for row in range(len(current.is_real)):
        if padding := _padding_before(current, row):
            raise ConfigurationError(
                f"{name} is rotated for the token's place, and here {padding} tokens of padding "
                f"stand before sample {row}: patch {name.replace('hook_rot_', 'hook_')}, or read "
                "the sample without padding"
            )


def _padding_before(current: Pass, row: int) -> int:
    return int(current.is_real[row].int().argmax())


def _arrangement(layout: VisualLayout, cells: np.ndarray) -> str:
    """Such as "6 patches (3 rows, 2 columns)"."""
    rows, columns = (len(set(axis[cells].tolist())) for axis in (layout.row, layout.col))
    return f"{len(cells)} patches ({rows} rows, {columns} columns)"
