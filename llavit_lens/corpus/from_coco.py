"""The images of a COCO-style file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from llavit_lens.corpus.image_list import ImageList
from llavit_lens.disk import shown
from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled.coco_file import read_coco
from llavit_lens.evaluation.labelled.coco_places import Places
from llavit_lens.evaluation.labelled.label_report import LabelReport


class CocoImages(ImageList):
    """All images that the file names, labelled or not."""

    def __init__(
        self, places: Places, names: Sequence[str], origin: Mapping[str, str], remarks: list[str]
    ) -> None:
        super().__init__(names, origin, remarks)
        self._places = places

    def read(self, number: int) -> Path:
        return self._places.file_of(self.names[number])


def images_of_coco(annotations: Path, folder: Path) -> CocoImages:
    """The images of a file, in its order.

    Args:
        annotations: the JSON file.
        folder: of the images.

    Raises:
        ConfigurationError: the file cannot be read, is no such file, or names no image.
    """
    report = LabelReport()
    names = dict.fromkeys(entry.name for entry in read_coco(annotations, report).entries)
    remarks = [line for line in report.lines if line.startswith("images left out")]
    if not names:
        left_out = "".join(f"; {line}" for line in remarks)
        raise ConfigurationError(f"{shown(annotations)}: names no images{left_out}")
    whole = Path(os.path.abspath(folder))
    origin = {"images": os.path.abspath(annotations), "folder": str(whole)}
    return CocoImages(Places(shown(annotations), whole, names), list(names), origin, remarks)
