"""Where the images of a COCO-style file lie in a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from llavit_lens.disk import shown
from llavit_lens.errors import ImageError, one_line, printable
from llavit_lens.evaluation.labelled.coco_file import Endings, ends_of
from llavit_lens.evaluation.labelled.label_report import LabelReport


class Places:
    """Finds the images of one file in one folder.

    Attributes:
        annotations: the name of the file, for messages.
        folder: of the images.
    """

    def __init__(self, annotations: str, folder: Path, names: Iterable[str]) -> None:
        """`names` are those of all images of the file."""
        self.annotations = annotations
        self.folder = folder
        self._endings = Endings(names)

    def file_of(self, image: str, report: LabelReport | None = None) -> Path:
        """Where an image lies in the folder; a link in it is followed wherever it leads.

        An image that is not there under its whole name is looked for without the folders before
        it, where no other image of the file ends like it.

        Raises:
            ImageError: nowhere, or its name leads out of the folder.
        """
        name = f"{self.annotations}: {printable(image)}"
        try:
            whole = _in_folder(self.folder, image)
            if whole is not None and whole.exists():
                return whole
            for number, end in enumerate(ends_of(image)):
                file = _in_folder(self.folder, end)
                if file is not None and self._endings.has_one(end) and file.exists():
                    if number and report is not None:
                        report.add("images found without the folders before their names", image)
                    return file
        except (OSError, RuntimeError, ValueError) as error:  # a name too long, a loop of links, …
            reason = getattr(error, "strerror", None) or one_line(error)
            raise ImageError(f"{name}: cannot be read ({reason})") from error
        if whole is None:
            raise ImageError(f"{name}: lies outside of {shown(self.folder)}")
        if whole.is_symlink():
            raise ImageError(f"{name}: is a link that leads nowhere in {shown(self.folder)}")
        raise ImageError(f"{name}: no such file in {shown(self.folder)}")


def _in_folder(folder: Path, name: str) -> Path | None:
    """The path of a name in a folder; None where the name itself leads out of it."""
    if ".." in Path(name).parts:
        return None
    for base in (folder.absolute(), folder.resolve()):  # an absolute name may be of either
        if (base / name).is_relative_to(base):
            return base / name
    return None
