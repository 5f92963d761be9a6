"""What the samples of a forward pass read, for whoever acts in the pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout

T = TypeVar("T")


@dataclass(frozen=True)
class PassInputs:
    """Layouts and prompt lengths of a pass, for each sample. Beams of a sample follow each other,
    so one entry then stands for several rows of the batch.

    Attributes:
        layouts: of each sample those of its images: where their visual tokens lie; empty if
            unknown.
        lengths: tokens of the prompts, without padding and without an answer that may follow;
            empty if unknown.
    """

    layouts: tuple[tuple[VisualLayout, ...], ...] = ()
    lengths: tuple[int, ...] = ()

    def layouts_of(self, batch: int, reader: str) -> list[tuple[VisualLayout, ...]]:
        """The layouts of each row of the batch, one for each of its images.

        Args:
            batch: number of rows.
            reader: what needs them, for the error.

        Raises:
            ConfigurationError: they are unknown, or not as many as there are samples.
        """
        if not self.layouts:
            raise ConfigurationError(
                f"{reader} needs to know where the patches lie; run the model through vlm "
                "(vlm.run, vlm.generate, vlm.trace), or inside of vlm.reading(layout), with one "
                "layout for each sample (vlm.prepare makes them)."
            )
        return _for_each_row(self.layouts, batch, "layouts")

    def lengths_of(self, batch: int) -> list[int] | None:
        """The prompt length of each row of the batch; None if unknown.

        Raises:
            ConfigurationError: they are not as many as there are samples.
        """
        return _for_each_row(self.lengths, batch, "prompt lengths") if self.lengths else None


def _for_each_row(entries: Sequence[T], batch: int, what: str) -> list[T]:
    if batch % len(entries):
        raise ConfigurationError(
            f"there are {len(entries)} {what} for a batch of {batch}; pass one for each sample."
        )
    beams = batch // len(entries)
    return [entry for entry in entries for _ in range(beams)]
