"""Which model is loaded, and how; two specs are equal as long as they mean the same weights."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from llavit_lens.errors import ConfigurationError

_MODEL_FILES = (".safetensors", ".bin", ".json", ".jinja", ".model")

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class ModelSpec:
    """A model and how it is loaded, as `load` takes it.

    Attributes:
        name, device, dtype: as `load` takes them.
        stamp: of the files in the model's folder, which a training run may overwrite: see
            `with_stamp`.
    """

    name: str
    device: str = "auto"
    dtype: str = "auto"
    stamp: Stamp = ()


def with_stamp(spec: ModelSpec) -> ModelSpec:
    """The spec with the names, times and sizes of the files in its folder, if it is a folder: when
    they change, it is another model."""
    files = []
    with suppress(OSError):
        for file in Path(spec.name).expanduser().iterdir():
            if file.suffix in _MODEL_FILES:
                status = file.stat()
                files.append((file.name, status.st_mtime_ns, status.st_size))
    return replace(spec, stamp=tuple(sorted(files)))


def check_stamp(spec: ModelSpec) -> None:
    """Check that the model's files are those of the spec's stamp.

    Raises:
        ConfigurationError: they changed.
    """
    if spec.stamp and with_stamp(spec) != spec:
        raise ConfigurationError(
            f"{spec.name}: files in this folder changed since the page looked at it; load "
            "the page again for the new ones, once they are complete"
        )
