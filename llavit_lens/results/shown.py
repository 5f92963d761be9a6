"""What a notebook shows of a result: its figure, or a table; and what to type next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from llavit_lens.card import card, picture, remark, table, to_type
from llavit_lens.errors import one_line

if TYPE_CHECKING:
    import pandas as pd


class Shown(ABC):
    """A base of what has `plot` and `to_pandas`."""

    @abstractmethod
    def plot(self) -> Any:
        """The figure; each has options of its own."""

    @abstractmethod
    def to_pandas(self) -> pd.DataFrame:
        """A tidy table."""

    @abstractmethod
    def _has_images(self) -> bool:
        """Whether `plot` can draw without being given an image."""

    def _repr_html_(self) -> str:
        """The result as a notebook shows it: its figure, or without images a table."""
        return card(repr(self), *self._shown(), to_type(self._next()))

    @abstractmethod
    def _next(self) -> dict[str, str]:
        """Lines of Python that a notebook proposes, and what each is for."""

    def _shown(self) -> list[str]:
        """The parts of the card between its title and what to type next."""
        if not self._has_images():
            return [
                remark("The images are not saved with a result: give them to plot."),
                table(self._overview()),
            ]
        try:
            figure = self._figure()
            png, size = figure._repr_png_()
            with Image.open(BytesIO(png)) as image:
                seen = picture(image, size["width"], figure.title or "")
            notes = [remark(text) if text else "" for text in (self._about(), figure.caption)]
            return [notes[0], seen, notes[1]]
        except Exception as error:  # a cell that only looks at a result must not fail
            return [remark(f"There is no figure: {one_line(error)}"), table(self._overview())]

    def _figure(self) -> Any:
        """What the card shows."""
        return self.plot()

    def _about(self) -> str | None:
        """What stands above the figure, such as why it shows just this."""
        return None

    def _overview(self) -> pd.DataFrame:
        """What the card shows where there is no figure."""
        return self.to_pandas()
