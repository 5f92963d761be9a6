"""The images of tar files, as webdataset writes them: read where they lie, nothing is unpacked."""

from __future__ import annotations

import os
import tarfile
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

from llavit_lens.corpus.from_folder import is_image_name
from llavit_lens.corpus.image_list import ImageList, as_text
from llavit_lens.disk import check_file, shown
from llavit_lens.disk.names import reason
from llavit_lens.errors import ConfigurationError, ImageError, one_line
from llavit_lens.images.open import MAX_BYTES

_BLOCK = 512  # bytes: what a tar is made of
_PADDING = 2**20  # bytes of zeros that may follow the end of an archive

_PACKED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"(\xb5/\xfd": "unzstd"}


class TarImages(ImageList):
    """Images in tars, named `FILE.tar/MEMBER`."""

    def __init__(
        self,
        folder: Path,
        tars: Sequence[str],
        members: Mapping[str, tuple[int, int, int]],
        origin: Mapping[str, str],
        remarks: Sequence[str],
    ) -> None:
        """`members` are places by name: number of the tar, first byte, bytes."""
        super().__init__(list(members), origin, remarks)
        self._folder = folder
        self._tars = list(tars)
        # numbers in arrays: 24 bytes for each of a million images
        self._tar, self._first, self._size = (
            array("q", numbers) for numbers in zip(*members.values(), strict=True)
        )

    def read(self, number: int) -> bytes:
        size, name = self._size[number], shown(self.names[number])
        if size > MAX_BYTES:
            raise ImageError(f"{name}: larger than the limit of {MAX_BYTES} bytes")
        try:
            with open(self._folder / self._tars[self._tar[number]], "rb") as file:
                file.seek(self._first[number])
                data = file.read(size)
        except OSError as error:
            raise ImageError(f"{name}: cannot be read ({reason(error)})") from error
        if len(data) < size:
            raise ImageError(f"{name}: its tar is shorter than when the scan began")
        return data


def images_of_tars(folder: Path, tars: Sequence[str], origin: Mapping[str, str]) -> TarImages:
    """All images in tars, in the order of the tars and, in each, of its members.

    Of members of one name in one tar, the last counts, as when it is unpacked. A tar that ends
    too early or is damaged gives what lies before the damage; the remarks say so.

    Args:
        folder: of the tars.
        tars: their paths from there on.
        origin: as `ImageList` has it.

    Raises:
        ConfigurationError: a tar is not there or is compressed, or there is no image in any.
    """
    members: dict[str, tuple[int, int, int]] = {}
    remarks: list[str] = []
    for number, tar in enumerate(tars):
        for name, first, size in _images_in(folder / tar, remarks):
            name = as_text(f"{tar}/{name}")
            members.pop(name, None)
            members[name] = (number, first, size)
    if not members:
        what = shown(folder / tars[0]) + (f" and {len(tars) - 1} more" if len(tars) > 1 else "")
        why = "".join(f"; {remark}" for remark in remarks[:3])
        raise ConfigurationError(f"{what}: no image in it (.jpg, .png, .webp and the like){why}")
    return TarImages(folder, tars, members, origin, remarks)


def _images_in(path: Path, remarks: list[str]) -> list[tuple[str, int, int]]:
    """Name, first byte and size of each image in a tar; what is wrong goes to the remarks."""
    check_file(path)
    found: list[tuple[str, int, int]] = []
    damage = None
    with open(path, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                while (member := tar.next()) is not None:
                    if _is_image(member):
                        found.append((member.name, member.offset_data, member.size))
                    tar.members = []  # type: ignore[attr-defined]  # which would hold them all
                at = tar.offset
            damage = _damage_at(file, at)
        except tarfile.TarError as error:
            file.seek(0)
            _refuse_compressed(path, file.read(6))
            damage = one_line(error)
        except OSError as error:
            damage = reason(error)
    whole = [image for image in found if image[1] + image[2] <= end]
    if len(whole) < len(found):
        damage = damage or "it ends too early"
    if damage is not None:
        images = "1 image" if len(whole) == 1 else f"{len(whole)} images"
        remarks.append(f"{shown(path)}: {damage}; only the {images} before that can be read")
    return whole


def _is_image(member: tarfile.TarInfo) -> bool:
    hidden = any(part.startswith(".") and part != "." for part in member.name.split("/"))
    return member.isreg() and not member.issparse() and is_image_name(member.name) and not hidden


def _damage_at(file: object, at: int) -> str | None:
    """What is wrong where the reader stopped, if it did not stop at the mark of the end.

    `tarfile` takes a header that is cut or damaged for the end, and says nothing.
    """
    file.seek(at)  # type: ignore[attr-defined]
    rest = file.read(_PADDING)  # type: ignore[attr-defined]
    if len(rest) < _BLOCK:
        return "it ends too early"
    if any(rest[:_BLOCK]):
        return f"it is damaged at byte {at}"
    if rest.strip(b"\0"):
        return f"what follows its end at byte {at} is not read (tars joined by cat?)"
    return None


def _refuse_compressed(path: Path, start: bytes) -> None:
    for magic, program in _PACKED.items():
        if start.startswith(magic):
            raise ConfigurationError(
                f"{shown(path)}: is compressed, so nothing can be read from its middle; unpack it "
                f"with {program}: the tar stays whole, and images hardly grow"
            )
