"""A loaded vision-language model, as the lens and its users see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from inspect import signature
from operator import index
from typing import Any, Literal, SupportsIndex, overload

import torch
from PIL import Image
from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import Images, ImageSource
from llavit_lens.inputs import DEFAULT_PROMPT, check_text
from llavit_lens.model.chat import image_mark
from llavit_lens.rows import VisualAttentionMode
from llavit_lens.vlm.acting import one_pass
from llavit_lens.vlm.activation_cache import ActivationCache
from llavit_lens.vlm.batches import trace_batches, traces_of_images
from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.families import decoder_of, family_of
from llavit_lens.vlm.families.family import Family, image_token_id
from llavit_lens.vlm.finite import check_weights, finite_passes
from llavit_lens.vlm.generation import generate_ids
from llavit_lens.vlm.hooks import Hook, NamedHook, Names, hook_names, hook_points, hooks
from llavit_lens.vlm.in_words import vlm_card, vlm_line
from llavit_lens.vlm.pass_inputs import PassInputs
from llavit_lens.vlm.preparing import images_are_taken, prepared
from llavit_lens.vlm.prompt import Prompt, collate
from llavit_lens.vlm.readout import Readout, ReadoutCache
from llavit_lens.vlm.stream import Stream
from llavit_lens.vlm.token_trace import TracedAnswer
from llavit_lens.vlm.trace import Trace, what
from llavit_lens.vlm.tracing import traced_answer, traces_of_prompts
from llavit_lens.vlm.turns import check_none_open, turn
from llavit_lens.vlm.validate import validate

_GRAY = (224, 224)
"""Pixels of an image that stands for any."""


class VLM:
    """Model and processor together.

    Attributes:
        model: a transformers image-text-to-text model.
        processor: its processor.
        name: where it came from, as the user wrote it.
        revision: commit of the Hub repository, None for local files.
        processor_options: further arguments of each call of the processor, as {"do_pan_and_scan":
            True} for Gemma 3. Empty at first; set it as you like.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        name: str,
        revision: str | None = None,
        *,
        validated: bool = False,
    ) -> None:
        """Take a model as it is.

        `validated` says that `validate` has passed for its config and processor already.

        Raises:
            CheckpointError, ConfigurationError: as `validate`; or weights that are NaN or infinite.
        """
        self.model = model.eval()
        self.processor = processor
        self.name = name
        self.revision = revision
        self.processor_options: dict[str, Any] = {}
        if not validated:
            validate(model.config, processor, name)
        check_weights(model, name)
        self._readouts = ReadoutCache()

    def __repr__(self) -> str:
        return vlm_line(self)

    def _repr_html_(self) -> str:
        """What it is, and what to type first."""
        return vlm_card(self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "processor_options" and not isinstance(value, dict):
            raise ConfigurationError(
                f"processor_options is {what(value)}; give a dict, as {{'do_pan_and_scan': True}}"
            )
        if (
            name == "model"
            and "model" in self.__dict__
            and decoder_of(value) is not decoder_of(self.model)
        ):
            check_none_open(self.model)
            validate(value.config, self.processor, self.name)
            check_weights(value, self.name)
            self._readouts = ReadoutCache()
        super().__setattr__(name, value)

    @property
    def family(self) -> Family:
        """What is known of models that are built like this one."""
        return family_of(self.model.config)

    @property
    def image_token_id(self) -> int:
        """The id that stands for one visual token in `input_ids`."""
        return image_token_id(self.model.config)

    @property
    def visual_attention(self) -> VisualAttentionMode:
        """What visual tokens attend to by the model's own design, without interventions."""
        return self.family.visual_attention(self.model.config)

    @property
    def device(self) -> torch.device:
        """Where the model takes its inputs: with its word embeddings, if its parts are on several
        devices."""
        given = getattr(self.model, "get_input_embeddings", lambda: None)()
        table: nn.Module = self.model if given is None else given
        weight = next(table.parameters(), None)
        place: torch.device = self.model.device if weight is None else weight.device
        if place.type == "meta":  # accelerate brings the weights, a module at a time
            modules = [*table.modules(), *self.model.modules()]
            hooks = [getattr(module, "_hf_hook", None) for module in modules]
            parts = [part for hook in hooks for part in getattr(hook, "hooks", [hook])]
            places = [getattr(part, "execution_device", None) for part in parts]
            found = next((torch.device(one) for one in places if one is not None), None)
            place = self.model.device if found is None else found
        return place

    @property
    def decoder(self) -> Decoder:
        """The language model inside, and its parts.

        Raises:
            ConfigurationError: the model is not built the usual way, or PEFT has wrapped it.
        """
        return Decoder.of(self.model, decoder_of(self.model))

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @property
    def readout(self) -> Readout:
        """The parts that turn states into words, as the last pass has shown them; the same object
        that traces hold. Before the first pass, one is made on a gray image.

        Raises:
            ConfigurationError: as `trace`, where a pass is made.
        """
        latest = self._readouts.latest
        return self.trace(Image.new("RGB", _GRAY, "gray")).readout if latest is None else latest

    @property
    def config(self) -> Any:
        """The model's configuration, as transformers keeps it."""
        return self.model.config

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the model's weights."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    def format_prompt(self, prompt: str, images: int = 1) -> str:
        """The question in the model's chat format, with a place for each image before it.

        A prompt that already holds the image token is returned as it is; without a chat template
        the plain form of the model's family is used.
        """
        if not isinstance(prompt, str):
            raise ConfigurationError(
                f"a prompt is one text, not a {type(prompt).__name__}; ask one question at a time"
            )
        check_text(prompt, "the prompt")
        if image_mark(self.processor) in prompt:
            return prompt
        return self.family.prompt(self.processor, prompt, self.name, images)

    def trace(
        self,
        image: Images,
        prompt: str = DEFAULT_PROMPT,
        tokens: Literal["visual", "all"] | int | Sequence[int] = "visual",
    ) -> Trace:
        """One forward pass; keeps the residual stream at the visual tokens.

        A list of images is ONE prompt about all of them, and gives one trace. Many images with a
        prompt each, which give a trace each: `trace_batch`.

        Hooks that are set on the model when this is called take part in the pass, and the trace
        holds what they made of it.

        Args:
            image: one, or several in a list: see `prepare`.
            prompt: the question.
            tokens: "visual"; or "all", to keep the tokens of text too, as `Trace.text`; or those
                of them that have this position, or these, in the sequence; negative ones count
                from its end.

        Raises:
            ImageError: the image cannot be read.
            ConfigurationError: the prompt, the layout or the model's head is not one that fits;
                tokens that are not there, or are visual.
        """
        return traces_of_prompts(self, [self.prepare(image, prompt)], tokens)[0]

    def trace_batch(
        self,
        images: Sequence[ImageSource],
        prompt: str | Sequence[str] = DEFAULT_PROMPT,
        batch_size: int | None = None,
    ) -> list[Trace]:
        """One trace for each of many images, as `trace` gives it; several images run together.

            vlm.trace([a, b])        # ONE prompt about both: one trace
            vlm.trace_batch([a, b])  # a prompt about a, another about b: two traces

        The states are those of `trace` within float32 rounding: 1e-5 of the largest number of
        their layer. Interventions act as on each image alone. Images that a model cannot read
        together run one after another.

        Args:
            images: a list; each of them as `trace` takes one image.
            prompt: the question: one for all, or a list with one for each image.
            batch_size: images in one forward pass. None: as many as have 4,096 tokens together,
                each prompt counted as long as the longest; and one while functions of your own
                act (`hooks`, PyTorch's hooks on a module or on all, a `forward` set on a module),
                for they may know tokens by their places. With a number, they meet batches
                [B, seq, ...], padded on the left.

        Raises:
            ImageError, ConfigurationError: as `trace`; the error says which image, by its place
                in the list.
        """
        return traces_of_images(self, images, prompt, batch_size)

    def trace_batches(
        self, asked: Iterable[tuple[ImageSource, str]], batch_size: int | None = None
    ) -> Iterator[list[Trace]]:
        """As `trace_batch`, for more images than memory holds traces of: the traces of one forward
        pass after another, in the order of the images, which are read as they are needed.

        Args:
            asked: images, each with its question.
            batch_size: as `trace_batch`.

        Raises:
            ImageError, ConfigurationError: as `trace`.
        """
        return trace_batches(self, asked, batch_size)

    @overload
    def generate(
        self,
        image: Images,
        prompt: str = ...,
        max_new_tokens: int = ...,
        *,
        trace: Literal[False] = ...,
        **generation_options: Any,
    ) -> str: ...

    @overload
    def generate(
        self,
        image: Images,
        prompt: str = ...,
        max_new_tokens: int = ...,
        *,
        trace: Literal[True],
        **generation_options: Any,
    ) -> TracedAnswer: ...

    @torch.no_grad()
    def generate(
        self,
        image: Images,
        prompt: str = DEFAULT_PROMPT,
        max_new_tokens: int = 64,
        *,
        trace: bool = False,
        **generation_options: Any,
    ) -> str | TracedAnswer:
        """The model's answer, greedy unless `generation_options` (transformers' own) say otherwise.

        Hooks look for NaN in every step, so a compiled model runs uncompiled here, as in `trace`
        and `run`; `vlm.model.generate` runs it as it is.

        Args:
            image: one, or several in a list: see `prepare`.
            prompt: the question.
            max_new_tokens: at least 1.
            trace: keep the states from which each token of the answer was written, too. Costs one
                more pass over the prompt.

        Raises:
            ImageError, ConfigurationError: as `trace`; options that make no sense, or that ask for
                more than one text; with `trace`, beams.
        """
        prepared = self.prepare(image, prompt)
        if trace:
            return traced_answer(self, prepared, max_new_tokens, generation_options)
        return self.generate_batch([prepared], max_new_tokens, **generation_options)[0]

    @torch.no_grad()
    def generate_batch(
        self, prompts: Sequence[Prompt], max_new_tokens: int = 64, **generation_options: Any
    ) -> list[str]:
        """The answer to each of several prompts, which run together: as `generate`."""
        prompts = _all_prompts(prompts)
        if not prompts:
            return []
        ids = self.generated_ids(prompts, max_new_tokens, generation_options)
        answers = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [answer.strip() for answer in answers]

    def generated_ids(
        self, prompts: Sequence[Prompt], max_new_tokens: int, options: dict[str, Any]
    ) -> Tensor:
        """Ids [B, new tokens] of the answers to several prompts, padded on the right.

        Raises:
            ConfigurationError: as `generate`.
        """
        chosen = {"do_sample": False, **options}
        with self._one_pass(prompts):
            return generate_ids(self.model, self._inputs(prompts), max_new_tokens, chosen)

    def readout_of(self, stream: Stream, logits: Tensor) -> Readout:
        """What turns the states of a pass into words, held against the pass's own logits.

        Args:
            stream: of the pass; its last rows are those of the last token of each sample.
            logits: [B, V], those of the last tokens.

        Raises:
            ConfigurationError: as `unembedding_of`.
        """
        return self._readouts.of(
            self.decoder, stream, logits, self.tokenizer, self.device, self.name
        )

    @torch.no_grad()
    def forward(
        self,
        prompts: Prompt | Sequence[Prompt],
        *,
        answer: Tensor | None = None,
        copies: int = 1,
        logits_to_keep: int = 0,
        fwd_hooks: Sequence[tuple[Names, Hook]] | None = None,
    ) -> Any:
        """One forward pass over a prompt (see `prepare`) or a batch; the model's own output.

        Hooks and interventions have to act in it, and NaN or infinity is an error. A batch is
        padded on the left.

        Args:
            prompts: one, or several.
            answer: ids [A] of an answer that follows each prompt.
            copies: rows for each prompt, which differ only where hooks make them differ.
            logits_to_keep: of how many of the last tokens logits are kept; 0 is all.
            fwd_hooks: hooks for this pass, as in `hooks`.

        Raises:
            ConfigurationError: something is open in another thread, or did not act; NaN or
                infinity; an answer that holds the image token; what is no prompt; as `hooks`.
        """
        several = _all_prompts(prompts)
        if not several:
            raise ConfigurationError("there is no prompt to run; give one that vlm.prepare made")
        if answer is not None:
            self.check_answer(answer, answer.tolist())
        inputs = self._inputs(several, answer, copies)
        with (
            turn(self.model),
            nullcontext() if fwd_hooks is None else self.hooks(fwd_hooks),
            self._one_pass(several, copies),
        ):
            output = self.model(**inputs, **self._keeping(logits_to_keep), use_cache=False)
        if logits_to_keep:  # some models make all of them
            output.logits = output.logits[:, -logits_to_keep:]
        return output

    def check_answer(self, ids: Tensor, answer: Any) -> None:
        """Raise ConfigurationError for an answer that holds the image token, where no image is.

        Args:
            ids: its tokens.
            answer: what to show of it.
        """
        if bool((ids == self.image_token_id).any()):
            token = self.tokenizer.convert_ids_to_tokens(self.image_token_id)
            raise ConfigurationError(
                f"the answer {answer!r} holds the image token {token}; leave it out"
            )

    def _keeping(self, logits_to_keep: int) -> dict[str, int]:
        """The argument of that name, where the model's forward has it: some would take it and do
        nothing, others fail."""
        model = getattr(self.model, "_orig_mod", self.model)
        names = signature(type(model).forward).parameters
        return {"logits_to_keep": logits_to_keep} if "logits_to_keep" in names else {}

    def hooks(self, fwd_hooks: Sequence[tuple[Names, Hook]]) -> AbstractContextManager[None]:
        """Inside, `fwd_hooks` are called in every pass: see `llavit_lens.vlm.hooks`.

        with vlm.hooks([("blocks.3.hook_attn_out", lambda out, hook: 0 * out)]):
            vlm.generate("dog.jpg")

        They act in the thread that sets them; no other thread may run the model inside. Compiled
        models run uncompiled inside.
        """
        return hooks(self.model, fwd_hooks)

    @property
    def hook_names(self) -> list[str]:
        """Names of all hook points, added already or not."""
        return hook_names(self.model)

    def add_hook_points(self) -> None:
        """Add the hook points of a decoder that is rebuilt here to it, as modules, now. Hooks and
        interventions do it by themselves; a library that wraps the model's modules, as nnsight
        does, needs them before.

        Raises:
            ConfigurationError: the model cannot have any; or its decoder is of another family, of
                which the hook points are no modules: `hooks` and `run_with_cache` need none.
        """
        hook_points(self.model)

    @torch.no_grad()
    def run_with_cache(
        self, image: Images, prompt: str = DEFAULT_PROMPT, names_filter: Names = None
    ) -> tuple[Tensor, ActivationCache]:
        """Logits [1, seq, vocab] of a prompt, and the activations at the named hook points.

        The default is all of them. That is a lot: patterns alone take heads * seq^2 numbers for
        each layer.

        Raises:
            ImageError, ConfigurationError: as `trace`; names that fit no hook point.
        """
        cache = ActivationCache()
        cache.n_layers = self.decoder.n_layers

        def keep(activation: Tensor, where: NamedHook) -> None:
            if where.name in cache:
                raise ConfigurationError(
                    f"{where.name} ran twice in one pass, and a cache holds one activation of it"
                )
            cache[where.name] = activation.detach().clone()

        output = self.forward(self.prepare(image, prompt), fwd_hooks=[(names_filter, keep)])
        return output.logits, cache

    @torch.no_grad()
    def run_with_hooks(
        self,
        image: Images,
        prompt: str = DEFAULT_PROMPT,
        fwd_hooks: Sequence[tuple[Names, Hook]] = (),
    ) -> Tensor:
        """Logits [1, seq, vocab] of a prompt, with the hooks of `hooks`.

        Raises:
            ImageError, ConfigurationError: as `run_with_cache`.
        """
        return self.forward(self.prepare(image, prompt), fwd_hooks=fwd_hooks).logits

    @torch.no_grad()
    def run(self, image: Images, prompt: str = DEFAULT_PROMPT) -> Tensor:
        """Logits [1, seq, vocab] of a prompt.

        Raises:
            ImageError, ConfigurationError: as `trace`.
        """
        return self.forward(self.prepare(image, prompt)).logits

    def prepare(self, image: Images, prompt: str = DEFAULT_PROMPT) -> Prompt:
        """What the model is given for an image, or for several, and a question.

        Args:
            image: one, or several in a list: vlm.prepare(["cat.jpg", "dog.jpg"], "Which is older?")
            prompt: a question, which the model's chat format puts after the images; or a text that
                holds the image token once for each image, and is taken as it is.

        Raises:
            ImageError, ConfigurationError: as `trace`.
        """
        return prepared(self, image, prompt)

    @contextmanager
    def reading(
        self,
        *layouts: VisualLayout | Sequence[VisualLayout],
        length: int | Sequence[int] | None = None,
    ) -> Iterator[None]:
        """Inside, passes that you run by hand read these images, in this order.

            with vlm.reading(prompt.layouts, length=prompt.length):
                vlm.model(**prompt.inputs)

        Other threads wait for their turn with the model.

        Args:
            layouts: for each sample that of its image, or those of its images.
            length: of the prompts, in tokens, without padding: one for all, or one for each.

        Raises:
            ConfigurationError: an intervention or hook is open in another thread.
        """
        lengths = [length] if isinstance(length, SupportsIndex) else length or ()
        of_samples = [(one,) if isinstance(one, VisualLayout) else tuple(one) for one in layouts]
        reading = PassInputs(tuple(of_samples), tuple(map(index, lengths)))
        with turn(self.model, reading), finite_passes(self.model, self.name):
            yield

    @contextmanager
    def _one_pass(self, prompts: Sequence[Prompt], copies: int = 1) -> Iterator[None]:
        """Inside, the model has to read these prompts, and whatever is open on it has to act."""
        rows = [prompt for prompt in prompts for _ in range(copies)]
        lengths = [prompt.length for prompt in rows]
        images = [image for prompt in prompts for image in prompt.images]
        with (
            self.reading(*(one.layouts for one in rows), length=lengths),
            one_pass(self.model),
            images_are_taken(self, images),
        ):
            yield

    def _inputs(
        self, prompts: Sequence[Prompt], answer: Tensor | None = None, copies: int = 1
    ) -> dict[str, Tensor]:
        pad_id = self.tokenizer.pad_token_id or 0
        return collate(prompts, pad_id, answer, copies, self.family.batching)


def _all_prompts(given: Any) -> list[Prompt]:
    """One prompt or several, as a list.

    Raises:
        ConfigurationError: something among them is no prompt.
    """
    is_one = isinstance(given, str) or not isinstance(given, Iterable)
    prompts = [given] if is_one else list(given)
    for prompt in prompts:
        if not isinstance(prompt, Prompt):
            raise ConfigurationError(
                f"{what(prompt)} is no prompt; give what vlm.prepare(image, question) makes"
            )
    return prompts


def require_vlm(vlm: Any) -> None:
    """Raise ConfigurationError for anything that is no `VLM`: a name, a bare model."""
    if not isinstance(vlm, VLM):
        raise ConfigurationError(
            f"{what(vlm)} is no VLM; pass what ll.load returns, as in vlm = ll.load('demo:llavit')."
        )
