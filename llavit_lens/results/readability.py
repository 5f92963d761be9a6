"""How well the words of a lens name what images show: a table of measures."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from llavit_lens.results.plotting import draw
from llavit_lens.results.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNTRAINED = " (untrained)"
"""What follows the name of a model that has not learned anything."""


@dataclass(eq=False)
class Readability(Result):
    """What `llavit_lens.readability` measures on one model and some labelled images.

    Attributes:
        table: one row for each measure, k and layer: model, measure, layer (Int64; 0 is the
            projector's output; empty for what is measured once), k (Int64; empty for measures
            without one), value, low, high (95 % interval), chance, n (questions).
        n_images: how many images were read.
        unreadable: what is wrong with the images that were left out.
        left_out: words that the model cannot say.
        by_first_piece: words of several tokens, which are looked for by their first.
        provenance: as `Words.provenance`, without an image.
    """

    _images: ClassVar[tuple[str, ...]] = ()
    table: pd.DataFrame
    n_images: int
    unreadable: list[str]
    left_out: list[str]
    by_first_piece: list[str]
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the table calls the model."""
        return str(self.table["model"].iloc[0])

    def to_pandas(self) -> pd.DataFrame:
        """A copy of `table`, with the columns prompt and n_images at the end.

        There is no column image, as a row is about many images.
        """
        return self.table.assign(prompt=self.provenance.get("prompt"), n_images=self.n_images)

    def plot(self, *others: Readability, what: str | None = None) -> Figure:
        """One panel for each measure, state by state.

        Args:
            others: of other models, drawn beside this one.
            what: the images that were read, such as "60 scenes of the miniature world"; default:
                how many.
        """
        return draw(self, *others, what=what)

    def to_bytes(self) -> bytes:
        from llavit_lens.results.readability_file import encode

        return encode(self)

    @classmethod
    def _from_bytes(cls, data: bytes, name: str) -> Readability:
        from llavit_lens.results.readability_file import decode

        return decode(data, name)

    def _next(self) -> dict[str, str]:
        return {
            "result.table": "all measures, with intervals",
            "result.plot(other)": "beside another model",
        }

    def __repr__(self) -> str:
        n_measures = self.table["measure"].nunique()
        return f"Readability({self._model}, {self.n_images} images, {n_measures} measures)"

    # In version 0.1 `readability` returned the table itself; these go with the next version.

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of copying and pickling, which ask before there is a table
            raise AttributeError(f"a Readability has no attribute {name!r}")
        _warn_is_no_table(name)
        if name == "attrs":
            return {
                "pictures": self.n_images,
                "unreadable": self.unreadable,
                "left_out": self.left_out,
                "by_first_piece": self.by_first_piece,
            }
        return getattr(self.table, name)

    def __getitem__(self, key: Any) -> Any:
        _warn_is_no_table("[]")
        return self.table[key]

    def __len__(self) -> int:
        _warn_is_no_table("len")
        return len(self.table)

    def __iter__(self) -> Iterator[Hashable]:
        _warn_is_no_table("iter")
        return iter(self.table)

    def __contains__(self, key: object) -> bool:
        _warn_is_no_table("in")
        return key in self.table

    def __bool__(self) -> bool:  # not by `__len__`
        return True


def _warn_is_no_table(name: str) -> None:
    warnings.warn(
        f"readability returns a result now, and its table is .table: use it for {name!r}; the next "
        "version does not look there",
        DeprecationWarning,
        stacklevel=3,
    )
