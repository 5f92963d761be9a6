"""What was left out of the labels of a data set, and why: counted, with the places."""

from __future__ import annotations

from collections.abc import Mapping

from llavit_lens.errors import printable

_EXAMPLES = 3
_LONGEST = 120  # characters of a place


class LabelReport:
    """Remarks on labels, each with the places in the data set where it holds.

    print(images.report)  # one line for each remark
    """

    def __init__(self) -> None:
        self._places: dict[str, dict[str, None]] = {}

    def add(self, remark: str, place: str) -> None:
        """A remark on one place; the same one again changes nothing."""
        self._places.setdefault(remark, {})[printable(place, _LONGEST)] = None

    def update(self, other: LabelReport) -> None:
        """Add the remarks of another report."""
        for remark, places in other.places.items():
            for place in places:
                self.add(remark, place)

    @property
    def places(self) -> Mapping[str, tuple[str, ...]]:
        """For each remark all its places."""
        return {remark: tuple(places) for remark, places in self._places.items()}

    @property
    def counts(self) -> Mapping[str, int]:
        """For each remark the number of its places."""
        return {remark: len(places) for remark, places in self._places.items()}

    @property
    def lines(self) -> list[str]:
        """A line for each remark: how often, and the first places."""
        lines = []
        for remark, places in self.places.items():
            examples = [*places[:_EXAMPLES], *(["…"] if len(places) > _EXAMPLES else [])]
            lines.append(f"{remark}: {len(places)} ({'; '.join(examples)})")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines) or "nothing was left out"

    def __repr__(self) -> str:
        return f"LabelReport({dict(self.counts)})"
