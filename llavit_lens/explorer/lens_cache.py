"""Loaded models and their results: nothing is computed twice, and memory stays bounded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from llavit_lens.explorer.ablation import Ablation, applied
from llavit_lens.explorer.model_spec import ModelSpec, check_stamp
from llavit_lens.explorer.resolution import input_size_of
from llavit_lens.explorer.view import MOST_WORDS
from llavit_lens.explorer.wording import CUT
from llavit_lens.inputs import DEFAULT_PROMPT

if TYPE_CHECKING:
    from llavit_lens.explorer.input_image import InputImage
    from llavit_lens.model.progress import Watch
    from llavit_lens.results.words import Words
    from llavit_lens.vlm.trace import Trace
    from llavit_lens.vlm.vlm import VLM

MOST_BYTES = 1024**3
"""Of results, and of the matrices of dropped models that they keep in memory."""
MOST_ANSWERS = 200
ANSWER_TOKENS = 64

FIND, LOOK, WORDS = "Finding the model", "Looking at the image", "Reading words at every layer"
"""Steps of the work; between the first two are those of loading (`llavit_lens.steps`)."""

Ablations = Sequence[Ablation]

Key = tuple[ModelSpec, str, str, tuple[Ablation, ...]]
"""What a result or an answer depends on: model, SHA-256 of the image, prompt, interventions."""


def _ignore(step: str, done: int, total: int) -> None:
    """A `Watch` that does nothing."""


@dataclass(frozen=True, eq=False)
class LensResult:
    """The words that a lens reads in one model, for one image and prompt.

    Attributes:
        key: identity.
        trace: the residual stream.
        words: the logit lens of all layers.
        similarity: the input similarity (Eq. 4).
        device: where the model ran.
        input_size: (width, height) in pixels of what its vision tower takes; None if unknown.
    """

    key: Key
    trace: Trace
    words: Words
    similarity: Words
    device: str
    input_size: tuple[int, int] | None = None

    @property
    def depth(self) -> int:
        return self.trace.n_layers

    @property
    def vocabulary(self) -> int:
        """Number of the words that the lens ranks."""
        return len(self.trace.unembedding)

    @property
    def nbytes(self) -> int:
        arrays = [self.words.ids, self.words.values, self.words.entropy, self.words.logsumexp]
        arrays += self.words.leaders or ()
        words = sum(array.nbytes for array in arrays if array is not None)
        image = 3 * self.trace.image.width * self.trace.image.height
        return words + self.trace.hidden.nbytes + image


@dataclass
class LensCache:
    """All models, results and answers of a server, shared by its sessions.

    One lock is for the models: an intervention changes a model while it lasts, so no other pass may
    run meanwhile. Another lock is for the entries, so that cached results are served while a model
    loads. Models that find no room beside a new one are dropped before that one is loaded. Their
    results stay, and with them the vocabulary's matrices, to which results refer.

    Attributes:
        most_bytes: of results.
        most_model_bytes: of loaded models, of which one may be larger; None: half of the memory.
    """

    most_bytes: int = MOST_BYTES
    most_model_bytes: int | None = None
    _models: OrderedDict[ModelSpec, VLM] = field(default_factory=OrderedDict)
    _results: OrderedDict[Key, LensResult] = field(default_factory=OrderedDict)
    _answers: OrderedDict[Key, str] = field(default_factory=OrderedDict)
    _models_lock: threading.RLock = field(default_factory=threading.RLock)
    _entries_lock: threading.RLock = field(default_factory=threading.RLock)

    def cached_result(
        self, spec: ModelSpec, image: InputImage, prompt: str, ablations: Ablations = ()
    ) -> LensResult | None:
        """A result that is in the cache already."""
        with self._entries_lock:
            result = self._results.get(key_of(spec, image, prompt, ablations))
            if result is not None:
                self._results.move_to_end(result.key)
                if spec in self._models:
                    self._models.move_to_end(spec)
            return result

    def result(
        self,
        spec: ModelSpec,
        image: InputImage,
        prompt: str,
        ablations: Ablations = (),
        watch: Watch = _ignore,
    ) -> LensResult:
        """The words of one model, computed if they are not in the cache.

        Raises:
            LlavitLensError: the model, image or prompt is not one that works.
        """
        with self._models_lock:
            # another session may have made it while this one waited
            if (cached := self.cached_result(spec, image, prompt, ablations)) is not None:
                return cached
            vlm = self._model(spec, watch)
            from llavit_lens.lens.input_similarity import input_similarity
            from llavit_lens.lens.logit_lens import logit_lens

            watch(LOOK, 0, 0)
            with applied(vlm, ablations, vlm.decoder.n_layers):
                trace = vlm.trace(image.pixels, prompt or DEFAULT_PROMPT)
            trace.layout.check_map()  # the page is a map
            watch(WORDS, 0, 0)
            k = min(MOST_WORDS, len(trace.unembedding), len(trace.embedding))
            result = LensResult(
                key_of(spec, image, prompt, ablations),
                trace,
                logit_lens(trace, k),
                input_similarity(trace, k),
                str(vlm.device),
                input_size_of(vlm.model.config, trace.layout),
            )
            with self._entries_lock:
                self._results[result.key] = result
                self._drop_results()
            return result

    def result_again(self, key: Key, image: InputImage) -> LensResult:
        """The result of this key, computed again if it was dropped.

        Raises:
            LlavitLensError: as `result`.
        """
        spec, _, prompt, ablations = key
        return self.result(spec, image, prompt, ablations)

    def cached_answer(
        self, spec: ModelSpec, image: InputImage, prompt: str, ablations: Ablations = ()
    ) -> str | None:
        """An answer that is in the cache already."""
        with self._entries_lock:
            return self._answers.get(key_of(spec, image, prompt, ablations))

    def answer(
        self, spec: ModelSpec, image: InputImage, prompt: str, ablations: Ablations = ()
    ) -> str:
        """What the model answers; with `CUT` at its end if it would go on.

        Raises:
            LlavitLensError: as `result`.
        """
        with self._models_lock:
            if (cached := self.cached_answer(spec, image, prompt, ablations)) is not None:
                return cached
            vlm = self._model(spec, _ignore)
            with applied(vlm, ablations, vlm.decoder.n_layers):
                answer = vlm.generate(
                    image.pixels, prompt or DEFAULT_PROMPT, max_new_tokens=ANSWER_TOKENS
                )
            if len(vlm.tokenizer(answer, add_special_tokens=False).input_ids) >= ANSWER_TOKENS:
                answer += f" {CUT}" if answer.endswith((".", "!", "?")) else CUT
            with self._entries_lock:
                self._answers[key_of(spec, image, prompt, ablations)] = answer
                while len(self._answers) > MOST_ANSWERS:
                    self._answers.popitem(last=False)
            return answer

    def _model(self, spec: ModelSpec, watch: Watch) -> VLM:
        """The model, loaded if it has to be, with threads for a pass that runs next."""
        from llavit_lens.vlm.threads import fit_threads

        with self._entries_lock:
            if spec in self._models:
                self._models.move_to_end(spec)
                fit_threads(self._models[spec].model)
                return self._models[spec]
        check_stamp(spec)
        with self._entries_lock:
            for other in list(self._models):  # what the folder held before: of no use any more
                if replace(other, stamp=spec.stamp) == spec:
                    del self._models[other]
        watch(FIND, 0, 0)
        from llavit_lens.explorer.memory import expected_bytes
        from llavit_lens.model.progress import watching
        from llavit_lens.vlm.load import check_folder, checkpoint_folder, load

        with watching(watch):
            # a name that leads nowhere fails here, before any model is dropped for it
            folder = checkpoint_folder(spec.name)
            expected = expected_bytes(folder, spec.dtype, _on_cpu(spec.device))
            if self._loaded_bytes() + expected > self._room():
                check_folder(folder)
                self._drop_models(expected)
            vlm = load(spec.name, device=spec.device, dtype=spec.dtype)
        check_stamp(spec)
        with self._entries_lock:
            self._models[spec] = vlm
        self._drop_models(0)
        fit_threads(vlm.model)
        return vlm

    def _room(self) -> int:
        from llavit_lens.explorer.memory import room_for_models

        return room_for_models() if self.most_model_bytes is None else self.most_model_bytes

    def _loaded_bytes(self) -> int:
        from llavit_lens.explorer.memory import model_bytes

        with self._entries_lock:
            models = list(self._models.values())
        return sum(model_bytes(vlm) for vlm in models)

    def _drop_models(self, expected: int) -> None:
        """Make room for `expected` bytes; the least recently used models are dropped first.

        With 0 expected bytes the last model stays, whatever its size.
        """
        with self._entries_lock:
            least = 0 if expected else 1
            while len(self._models) > least and self._loaded_bytes() + expected > self._room():
                self._models.popitem(last=False)
            self._drop_results()

    def _drop_results(self) -> None:
        """Drop the least recently used results; the newest stays, whatever its size."""
        while len(self._results) > 1 and self._result_bytes() > self.most_bytes:
            self._results.popitem(last=False)

    def _result_bytes(self) -> int:
        """Of results, and of vocabularies that they alone keep in memory."""
        from llavit_lens.explorer.memory import vocabularies

        sizes: dict[int, int] = {}
        for result in self._results.values():
            sizes |= vocabularies(result.trace)
        for vlm in self._models.values():
            for weight in vlm.model.parameters():
                sizes.pop(weight.data_ptr(), None)
        return sum(sizes.values()) + sum(result.nbytes for result in self._results.values())


def key_of(spec: ModelSpec, image: InputImage, prompt: str, ablations: Ablations) -> Key:
    """The key of a result or an answer."""
    return spec, image.sha256, prompt, tuple(ablations)


def _on_cpu(device: str) -> bool:
    import torch

    return device == "cpu" or (device == "auto" and not torch.cuda.is_available())
