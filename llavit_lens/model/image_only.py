"""Processors for images alone.

transformers' processors of most families read videos or sound, too, and ask for torchvision and
other packages that images do not need. Here they are made without those parts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from threading import RLock
from types import ModuleType
from typing import Any

from transformers.models.auto.configuration_auto import model_type_to_module_name
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

_NOT_FOR_IMAGES = ("video_processor", "feature_extractor", "audio_processor")
_IMPORTS = RLock()


@cache
def image_only(processor_class: type) -> type:
    """The same class of processor, which takes None for each part that reads videos or sound.

    Its `from_pretrained` does not load them, and its `save_pretrained` writes no files of theirs.
    To transformers it is the class itself: of that name, and a subclass of it.
    """
    module = sys.modules[processor_class.__module__]
    if getattr(module, "num2words", _num2words) is None:  # SmolVLM's asks for it when it is made
        vars(module)["num2words"] = _num2words
    space = {"__module__": module.__name__, "__doc__": processor_class.__doc__}
    return type(processor_class.__name__, (_ForImages, processor_class), space)


def processor_class(name: str) -> type | None:
    """transformers' class of processors of that name, with or without the packages that it asks
    for; None if there is none."""
    for kind, of_kind in PROCESSOR_MAPPING_NAMES.items():
        if of_kind == name:
            folder = model_type_to_module_name(kind)
            path = f"transformers.models.{folder}.processing_{folder}"
            if find_spec(path) is not None:
                found = getattr(_processing_module(path, folder), name, None)
                if isinstance(found, type):
                    return found
    return None


class _ForImages:
    """What `image_only` adds to a class of processors."""

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        if argument is None and argument_name in _NOT_FOR_IMAGES:
            return None
        return super().check_argument_for_proper_class(argument_name, argument)  # type: ignore[misc]

    @classmethod
    def _get_arguments_from_pretrained(cls, *args: Any, **kwargs: Any) -> list[Any]:
        image_class: Any = cls
        own: Any = super(_ForImages, _without_parts(image_class))
        loaded = iter(own._get_arguments_from_pretrained(*args, **kwargs))
        names = image_class.get_attributes()
        return [None if name in _NOT_FOR_IMAGES else next(loaded) for name in names]

    def save_pretrained(self, *args: Any, **kwargs: Any) -> Any:
        saved: Any = copy(self)
        for name in _NOT_FOR_IMAGES:
            if vars(saved).get(name, saved) is None:
                del vars(saved)[name]
        image_class: Any = type(self)
        saved.__class__ = _without_parts(image_class)
        own: Any = super(_ForImages, saved)
        return own.save_pretrained(*args, **kwargs)


@cache
def _without_parts(image_class: Any) -> Any:
    """The class with no parts but those for images and text, for loading and saving."""

    def get_attributes(cls: type) -> list[str]:
        names = image_class.get_attributes()
        return [name for name in names if name not in _NOT_FOR_IMAGES]

    space = {"__module__": image_class.__module__, "get_attributes": classmethod(get_attributes)}
    return type(image_class.__name__, (image_class,), space)


def _processing_module(path: str, folder: str) -> ModuleType:
    """The module of a processor. Some take a function from the image processor that needs
    torchvision, and the one that needs Pillow alone has it, too."""
    with _IMPORTS:
        try:
            return import_module(path)
        except ImportError as error:
            images = f"transformers.models.{folder}.image_processing_{folder}"
            pillow = f"transformers.models.{folder}.image_processing_pil_{folder}"
            if error.name != "torchvision" or find_spec(pillow) is None:
                raise
            with _standing_in(images, import_module(pillow)):
                return import_module(path)


@contextmanager
def _standing_in(path: str, module: ModuleType) -> Iterator[None]:
    """Inside, an import of `path` finds `module`; afterwards nothing is left of it."""
    before = sys.modules.get(path)
    sys.modules[path] = module
    try:
        yield
    finally:
        if before is None:
            del sys.modules[path]
        else:
            sys.modules[path] = before


def _num2words(*args: Any, **kwargs: Any) -> str:
    """In place of a package that a processor uses for videos alone."""
    raise ImportError("a text about a video needs the package num2words: pip install num2words")
