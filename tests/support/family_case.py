"""A family of models as tests see it: a tiny model of it, its processor, and what to expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

import pytest
import transformers
from any_model import merged, require_type, set_attention, spread, tiny_model
from any_processor import any_tokenizer, part
from packaging.version import Version
from PIL import Image

from llavit_lens.vlm.vlm import VLM

Kind = Literal[
    "one grid", "tiles", "stitched tiles", "rows", "shaped tiles", "given indices", "coordinates",
    "codes", "no map",
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One way to set up a family.

    Attributes:
        name: of the case: the model type, or that and what differs.
        model_type: of the config.
        make_processor: makes the processor.
        prompt: holds the token that stands for an image.
        config: fields of the config.
        kind: how visual tokens lie on the image; "no map" where each reads all of it.
        several_views: a large image is seen in several pieces.
        newlines: some placeholders are no patches: features that end rows.
        maskable: every layer mixes tokens by attention alone, so knockouts can be complete.
        sees_itself: visual tokens attend to later ones by the model's own design.
        experts: a mixture of experts, whose sums depend on the other tokens by rounding.
        after_head: the model changes logits after its head.
        added_later: features of the image are added again between the first layers.
        needs_torchvision: its image processor, or processor, cannot be imported without it.
    """

    name: str
    model_type: str
    make_processor: Callable[[], Any]
    prompt: str
    config: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "one grid"
    several_views: bool = False
    newlines: bool = False
    maskable: bool = True
    sees_itself: bool = False
    experts: bool = False
    after_head: bool = False
    added_later: bool = False
    needs_torchvision: bool = False

    def __repr__(self) -> str:
        return self.name

    def model(self, attn: str | None = None, **changes: Any) -> Any:
        """A tiny random model, its weights spread so that mistakes show.

        Skips the test where the installed transformers has no such model.

        Args:
            attn: attention implementation of its decoder.
            changes: fields of its config.
        """
        require_type(self.model_type)
        require_set_up(self)
        model = tiny_model(self.model_type, **merged(self.config, changes))
        spread(model)
        if attn is not None:
            set_attention(model, attn)
        return model

    def processor(self) -> Any:
        """Its processor; skips the test where that needs torchvision."""
        require_type(self.model_type)
        if self.needs_torchvision and find_spec("torchvision") is None:
            pytest.skip(f"the image processor of {self.model_type} needs torchvision")
        require_set_up(self)
        return self.make_processor()

    def vlm(self, attn: str | None = None, **changes: Any) -> VLM:
        """Both together."""
        processor = self.processor()
        return VLM(self.model(attn, **changes), processor, name=f"tiny-{self.name}")


def require_set_up(case: Case) -> None:
    """Skip the test where an older transformers cannot run this set-up by itself: what its classes
    take and default to was different. In the releases of the tests every set-up has to run."""
    if Version(transformers.__version__) >= _WRITTEN_FOR and case.name not in _FAILS_LATER:
        return
    if case.name not in _FAULTS:
        _FAULTS[case.name] = _fault(case)
    if _FAULTS[case.name] is not None:
        pytest.skip(f"transformers {transformers.__version__}: {_FAULTS[case.name]}")


def _fault(case: Case) -> str | None:
    """What goes wrong in a pass without anything of ours."""
    try:
        processor = case.make_processor()
        image = Image.new("RGB", (60, 40))
        inputs = processor(images=[image], text=[case.prompt], return_tensors="pt")
        inputs.pop("labels", None)
        model = tiny_model(case.model_type, **case.config)
        model(**inputs.to(dtype=model.dtype))
    except Exception as error:  # whatever an older release raises
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


_WRITTEN_FOR = Version("5.23")
_FAILS_LATER = ("llama4",)
"""Set-ups that transformers 5.24 does not run by itself."""
_FAULTS: dict[str, str | None] = {}


def made_of(
    processor: str,
    image_processor: str,
    tokens: Mapping[int, str],
    *,
    image: Mapping[str, Any],
    attributes: Mapping[str, str] | None = None,
    more: Sequence[str] = (),
    **arguments: Any,
) -> Callable[[], Any]:
    """What makes a processor.

    Args:
        processor, image_processor: their places: see `any_processor.part`.
        tokens, attributes, more: of the tokenizer: see `any_tokenizer`.
        image: arguments of the image processor.
        arguments: of the processor.
    """

    def make() -> Any:
        return part(
            processor,
            image_processor=part(image_processor, **image),
            tokenizer=any_tokenizer(tokens, attributes or {}, more),
            **arguments,
        )

    return make
