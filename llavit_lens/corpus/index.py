"""`index.json`: what an index holds, by which everyone who writes or reads it is checked."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from llavit_lens.corpus.schema import FORMAT, VERSION, settings_file, shard_file
from llavit_lens.disk import read_json, shown, user_path, write_text_atomically
from llavit_lens.errors import ConfigurationError, printable


@dataclass(frozen=True)
class Settings:
    """All that decides what an index holds: two scans with equal settings write the same rows.

    Attributes:
        weights: checksum of the model's configuration and weights.
        processor: checksum of what the processor does to images.
        dtype: number format of the weights.
        vocabulary: number of token ids.
        lens: "logit_lens" or "input_similarity".
        layers: layer numbers, ascending.
        k: words per patch and layer.
        prompt: what the model is asked, as the user wrote it.
        tracked: texts of the words that are followed through all rows, in the order of the column.
        tracked_ids: their ids.
        images: how many images the list has.
        names: checksum of their names, in order.
        images_per_shard: images in one file of patches/.
    """

    weights: str
    processor: str
    dtype: str
    vocabulary: int
    lens: str
    layers: Sequence[int]
    k: int
    prompt: str
    tracked: Sequence[str]
    tracked_ids: Sequence[int]
    images: int
    names: str
    images_per_shard: int

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that stand for all of it, in the metadata of every file."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


_IN_WORDS = {
    "weights": "another model",
    "processor": "another processor of images",
    "names": "other names in the list of images",
}
"""What is said where a checksum differs; of other settings both values are."""

_OPTIONS = {
    "layers": "--layers",
    "k": "-k",
    "lens": "--lens",
    "prompt": "--prompt",
    "tracked": "--words",
    "images_per_shard": "--images-per-shard",
}


@dataclass(frozen=True)
class Index:
    """An index on disk, complete or not.

    Attributes:
        path: its folder.
        settings: what it was begun with.
        model: name of the model, as the user wrote it.
        origin: of the list of images: what `source_of` takes to make it again.
        provenance: as `Words.provenance`, without an image.
    """

    path: Path
    settings: Settings
    model: str
    origin: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        layers = len(self.settings.layers)
        return (
            f"Index({self.settings.lens} of {printable(self.model, 60)}, "
            f"{self.settings.images} images, {layers} layer{'s' * (layers != 1)}, "
            f"k={self.settings.k}: {shown(self.path)})"
        )

    @property
    def shards(self) -> int:
        """How many shards the index has when it is complete."""
        return -(-self.settings.images // self.settings.images_per_shard)

    def images_of(self, shard: int) -> range:
        """The numbers of the images of a shard."""
        size = self.settings.images_per_shard
        return range(shard * size, min((shard + 1) * size, self.settings.images))

    def file(self, part: str, shard: int) -> Path:
        """One of the three files of a shard."""
        return shard_file(self.path, part, shard)

    @property
    def checksum(self) -> str:
        """Of all that is counted with: index.json holds it, so that a change by hand is noticed."""
        text = json.dumps([asdict(self.settings), dict(self.provenance)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_text(self) -> str:
        """The contents of `index.json`."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "checksum": self.checksum,
            "model": self.model,
            "settings": asdict(self.settings),
            "origin": dict(self.origin),
            "provenance": dict(self.provenance),
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def begin(index: Index) -> Index:
    """Write `index.json`, or see that what is there was begun with the same settings.

    Several processes may begin the same index at a time.

    Returns:
        The index on disk.

    Raises:
        ConfigurationError: the folder holds something else, or an index that was begun with other
            settings, which are named; or it cannot be written.
    """
    folder = user_path(index.path, what="the index")
    name = shown(index.path)
    if not settings_file(folder).exists():
        if folder.exists() and not folder.is_dir():
            raise ConfigurationError(f"{name}: is a file; choose another name for the index")
        if _has_other_things(folder):
            raise ConfigurationError(
                f"{name}: is a folder with other things in it, and no index; choose another name"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"cannot write {name}: {error.strerror or error}") from error
        _write_first(settings_file(folder), index.to_text())
    there = read_index(folder)
    check_settings(there, index)
    return there


def _write_first(file: Path, text: str) -> None:
    """Write a file, whole, unless another process has just done so: the first one stays."""
    mine = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        write_text_atomically(mine, text)
        try:
            os.link(mine, file)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            if not file.exists():
                write_text_atomically(file, text)
    finally:
        mine.unlink(missing_ok=True)


def _has_other_things(folder: Path) -> bool:
    """Whether a folder holds more than what another process is just writing."""
    if not folder.is_dir() or all(one.name.startswith(".") for one in folder.iterdir()):
        return False
    return not settings_file(folder).exists()  # it may have come meanwhile


def check_settings(there: Index, wanted: Index) -> None:
    """Raise ConfigurationError, which names what differs, unless both have the same settings."""
    differing = [
        name.name
        for name in fields(Settings)
        if getattr(there.settings, name.name) != getattr(wanted.settings, name.name)
    ]
    if not differing:
        return
    said = [_difference(name, there, wanted) for name in differing if name != "tracked_ids"]
    raise ConfigurationError(
        f"{shown(there.path)}: was begun with {'; with '.join(said)}: give the same again, or "
        "another name for a new index"
    )


def read_index(path: str | Path) -> Index:
    """What `index.json` says.

    Raises:
        ConfigurationError: there is no index, or one of another version, or a damaged one.
    """
    folder = user_path(path, what="the index")
    name = shown(path)
    if not folder.is_dir():
        what = "is a file, not an index" if folder.exists() else "there is no such index"
        raise ConfigurationError(f"{name}: {what}; llavit-lens scan IMAGES --out INDEX writes one")
    if not settings_file(folder).exists():
        raise ConfigurationError(
            f"{name}: is no index (it has no index.json); llavit-lens scan IMAGES --out INDEX "
            "writes one"
        )
    content = read_json(settings_file(folder))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ConfigurationError(f"{name}: its index.json is not one that llavit-lens wrote")
    if content.get("version") != VERSION:
        raise ConfigurationError(
            f"{name}: is an index of version {printable(str(content.get('version')), 20)}, and "
            f"this llavit-lens reads version {VERSION}; use the release that wrote it, or scan "
            "again into another folder"
        )
    try:
        settings = Settings(**content["settings"])
        index = Index(folder, settings, content["model"], content["origin"], content["provenance"])
        _check_types(index)
        if content["checksum"] != index.checksum:
            raise ValueError("another checksum")
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{name}: its index.json was damaged or changed by hand; put back the one that was "
            "written, or scan again into another folder"
        ) from error
    return index


def _check_types(index: Index) -> None:
    """Raise ValueError unless parts that are counted with are what they should be."""
    settings = index.settings
    counts = (settings.vocabulary, settings.k, settings.images, settings.images_per_shard)
    lists = (settings.layers, settings.tracked, settings.tracked_ids)
    texts = (index.model, settings.prompt, settings.names, settings.weights)
    if not (
        all(type(count) is int and count > 0 for count in counts)
        and all(isinstance(one, list) for one in lists)
        and all(type(number) is int for one in lists[::2] for number in one)
        and all(isinstance(text, str) for text in (*texts, *settings.tracked))
        and settings.layers
        and len(settings.tracked) == len(settings.tracked_ids)
        and settings.lens in ("logit_lens", "input_similarity")
        and isinstance(index.origin, dict)
        and isinstance(index.provenance, dict)
    ):
        raise ValueError("parts that do not fit")


def _difference(name: str, there: Index, wanted: Index) -> str:
    """The end of a sentence that begins with: was begun with."""
    before, now = getattr(there.settings, name), getattr(wanted.settings, name)
    if name == "weights" and there.model != wanted.model:
        return f"the model {printable(there.model, 60)}, not {printable(wanted.model, 60)}"
    if name in _IN_WORDS:
        return _IN_WORDS[name] + " than now"
    if name == "images":
        return f"a list of {before} images, which now has {now}"
    label = _OPTIONS.get(name, name)
    return f"{label} {_value(before)}, not {_value(now)}"


def _value(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return printable(text, 60) or "''"
