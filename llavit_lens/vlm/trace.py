"""The residual stream at the visual tokens of one image or several, from one forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from PIL import Image
from torch import Tensor, nn

from llavit_lens.card import card, facts, picture, to_type
from llavit_lens.errors import ConfigurationError, printable
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.away import Portable
from llavit_lens.vlm.in_words import stored_as
from llavit_lens.vlm.prompt import image_number, only, summary_of
from llavit_lens.vlm.provenance import of_image
from llavit_lens.vlm.readout import Readout
from llavit_lens.vlm.token_trace import TokenTrace

_ONE_OF_SEVERAL = (
    "choose one by its number from 0, as in ll.logit_lens(trace, image=0) or trace.of_image(0)"
)


@dataclass(eq=False)
class Trace(Portable):
    """What images and a prompt left in the residual stream, with all that a lens needs to read it.

    It can be pickled, and sent to another process: that takes the states and the images alone, no
    part of the model. There `trace.with_readout(vlm.readout)` brings its words back.

    Attributes:
        hidden: [layers + 1, n, d_model], in the model's dtype. Index 0 is the projector's output,
            index l the output of decoder layer l (counted from 1), all BEFORE the final norm. They
            are taken where the next layer, or the norm, is given them: what a model adds between
            two layers (DeepStack) is in them.
        layouts: where the n visual tokens lie, one for each image; `layout` is that of the only
            one.
        input_ids: int64 [seq], the whole prompt with its placeholders.
        prompt: the text the model was given, formatted.
        images: the original ones, RGB; `image` is the only one.
        readout: the parts of the model that turn states into words; the same object in all traces
            of one model. Its parts are attributes of the trace too.
        provenance: model, revision, n_layers, vocabulary (rows of the unembedding), prompt,
            image_sha256 (see `pixel_sha256`; of several images, images_sha256), versions. Where it
            is so: features_added_to_states (numbers of states to which the model adds features of
            the image, so that layer 0 is not all that it is given) and logit_map (what it does to
            logits after its head, in words).
        text: the states of tokens of text, where they were asked for; else None.
    """

    hidden: Tensor
    layouts: tuple[VisualLayout, ...]
    input_ids: Tensor
    prompt: str
    images: tuple[Image.Image, ...]
    readout: Readout
    provenance: dict[str, Any] = field(default_factory=dict)
    text: TokenTrace | None = None

    def __repr__(self) -> str:
        states, _, d_model = self.hidden.shape
        return (
            f"Trace({self._model}, {states} states of {summary_of(self.layouts)}, "
            f"{d_model} numbers each)"
        )

    def _repr_html_(self) -> str:
        """The image, what the trace holds, and what to type next."""
        states, n, d_model = self.hidden.shape
        which = "" if len(self.images) == 1 else ", image=0"
        return card(
            repr(self),
            *(picture(image, 240) for image in self.images),
            facts(
                {
                    "model": self._model,
                    "prompt": printable(self.prompt),
                    "hidden": f"{states} x {n} x {d_model}, {stored_as(self.hidden)}: "
                    f"the projector's output, and the outputs of {self.n_layers} layers",
                }
            ),
            to_type(
                {
                    f"words = ll.logit_lens(trace, k=3{which})": "the words of every patch at "
                    "every layer",
                    f"words = ll.input_similarity(trace, k=3{which})": "the nearest embeddings "
                    "(Eq. 4)",
                }
            ),
        )

    @property
    def image(self) -> Image.Image:
        """The only image.

        Raises:
            ConfigurationError: there are several.
        """
        return only(self.images, "trace.images")

    @property
    def layout(self) -> VisualLayout:
        """Where the visual tokens of the only image lie.

        Raises:
            ConfigurationError: there are several images.
        """
        return only(self.layouts, "", _ONE_OF_SEVERAL)

    def of_image(self, number: int) -> Trace:
        """The trace of one of the images, counted from 0 in the order of the prompt.

        Raises:
            ConfigurationError: there is no such image.
        """
        chosen = image_number(number, len(self.images))
        if len(self.images) == 1:
            return self
        start = sum(map(len, self.layouts[:chosen]))
        return replace(
            self,
            hidden=self.hidden[:, start : start + len(self.layouts[chosen])],
            layouts=(self.layouts[chosen],),
            images=(self.images[chosen],),
            provenance=of_image(self.provenance, chosen),
        )

    def with_readout(self, readout: Readout) -> Self:
        """The same states, read with these parts: `vlm.readout` of the model that made them.

        Raises:
            ConfigurationError: they are not those of that model.
        """
        text = None if self.text is None else self.text.with_readout(readout)
        return replace(super().with_readout(readout), text=text)

    @property
    def _model(self) -> str:
        return printable(str(self.provenance.get("model")), 60)

    @property
    def n_layers(self) -> int:
        """Number of decoder layers; `hidden` has one state more."""
        return len(self.hidden) - 1

    @property
    def norm(self) -> nn.Module:
        """See `Readout`."""
        return self.readout.norm

    @property
    def unembedding(self) -> Tensor:
        """See `Readout`."""
        return self.readout.unembedding

    @property
    def unembedding_bias(self) -> Tensor | None:
        """See `Readout`."""
        return self.readout.unembedding_bias

    @property
    def embedding(self) -> Tensor:
        """See `Readout`."""
        return self.readout.embedding

    @property
    def tokenizer(self) -> Any:
        """See `Readout`."""
        return self.readout.tokenizer


def trace_of(trace: Any, image: int | None = None) -> Trace:
    """The trace of one image, which lenses read; `image` is needed where there are several.

    Raises:
        ConfigurationError: it is no trace; no image is chosen, or one that there is not.
    """
    require_trace(trace)
    if image is not None:
        return trace.of_image(image)
    only(trace.images, "", _ONE_OF_SEVERAL)
    one: Trace = trace
    return one


def require_trace(trace: Any) -> None:
    """Raise ConfigurationError for anything that is no `Trace`: an image, a VLM."""
    if not isinstance(trace, Trace):
        raise ConfigurationError(
            f"{what(trace)} is no trace; pass what vlm.trace returns, as in "
            "ll.logit_lens(vlm.trace('dog.jpg'))"
        )


def what(value: Any) -> str:
    """An argument of the wrong kind, in words."""
    return repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
