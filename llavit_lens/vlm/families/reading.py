"""What a layout function is told about one image of a prompt."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llavit_lens.errors import ConfigurationError

_ABSENT = object()


@dataclass(frozen=True, eq=False)
class Reading:
    """What is known of one image of a prompt when its layout is asked for.

    Attributes:
        inputs: what the processor returned for the whole prompt, on any device.
        processor: the one that made them.
        config: of the model.
        image_sizes: (width, height) in pixels of each image of the prompt.
        positions: int64 [m], ascending, where visual tokens stand in the sequence: those of this
            image, then those of the images after it.
        index: which of the images is meant.
        text: the prompt as the processor was given it.
        options: further arguments that the processor was called with.
    """

    inputs: Mapping[str, Any]
    processor: Any
    config: Any
    image_sizes: tuple[tuple[int, int], ...]
    positions: np.ndarray
    index: int = 0
    text: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) of the image in pixels."""
        return self.image_sizes[self.index]

    @property
    def images_left(self) -> tuple[tuple[int, int], ...]:
        """Sizes of this image and of those after it: `positions` are theirs."""
        return self.image_sizes[self.index :]

    @property
    def image_processor(self) -> Any:
        """The part of the processor that makes pixels."""
        return self.processor.image_processor

    def row(self, name: str) -> list[int]:
        """The whole numbers that the processor returned for this image under a name.

        Raises:
            ConfigurationError: it returned none.
        """
        if name not in self.inputs:
            raise ConfigurationError(
                f"{type(self.processor).__name__} returned no {name}, so it is not known where "
                "the visual tokens lie"
            )
        return [int(value) for value in self.inputs[name][self.index]]

    def setting(self, name: str, default: Any = _ABSENT) -> Any:
        """A setting of the image processor in this call.

        An argument of the call goes first, then what the processor's class wants for its images,
        then the image processor's own.

        Raises:
            ConfigurationError: it is set nowhere, and there is no default.
        """
        own = getattr(self.image_processor, name, None)
        for source in (self.options, self.options.get("images_kwargs", {}), self._class_settings):
            if source.get(name) is not None:
                own = source[name]
                break
        if own is None and default is _ABSENT:
            raise ConfigurationError(
                f"{type(self.image_processor).__name__} has no {name}, so it is not known where "
                "the visual tokens lie"
            )
        return default if own is None else own

    @property
    def _class_settings(self) -> Mapping[str, Any]:
        """What a class of processors wants for its images, as newer and older releases keep it."""
        newer = getattr(self.processor, "images_kwargs", None)
        kinds = getattr(self.processor, "valid_processor_kwargs", None)
        older = getattr(kinds, "_defaults", {}).get("images_kwargs", {})
        return newer if isinstance(newer, Mapping) else older

    def take(self, count: int) -> np.ndarray | None:
        """The positions of this image, if it can have `count` visual tokens: the last image has
        to take all that are left."""
        last = self.index == len(self.image_sizes) - 1
        left = len(self.positions)
        return self.positions[:count] if count == left or (count < left and not last) else None

    def equal_share(self) -> np.ndarray:
        """The positions of this image, where each image has as many visual tokens.

        Raises:
            ConfigurationError: they cannot be shared out evenly.
        """
        count, rest = divmod(len(self.positions), len(self.images_left))
        if rest:
            raise ConfigurationError(
                f"{len(self.positions)} visual tokens are no equal shares of "
                f"{len(self.images_left)} images"
            )
        return self.positions[:count]


def own_function(image_processor: Any, name: str) -> Callable[..., Any]:
    """A sizing function of the module that an image processor comes from.

    transformers has one copy of such a function for each family and backend; the right one is that
    beside the class in use.

    Raises:
        ConfigurationError: this version of transformers has no such function there.
    """
    for kind in type(image_processor).__mro__:
        found = getattr(sys.modules.get(kind.__module__), name, None)
        if callable(found):
            function: Callable[..., Any] = found
            return function
    raise ConfigurationError(
        f"this version of transformers has no {name} beside {type(image_processor).__name__}, so "
        "it is not known where the visual tokens lie; use another version"
    )


def unknown_layout(processor: Any) -> ConfigurationError:
    """The error for a processor that places visual tokens in a way that no layout is about."""
    return ConfigurationError(
        f"{type(processor).__name__} lays visual tokens out in a way that is not known here; "
        "say where they lie with ll.register_family (docs/families.md)"
    )
