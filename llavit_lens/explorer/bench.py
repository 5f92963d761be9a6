"""Loaded models and what they read: nothing is computed twice, and memory stays bounded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llavit_lens.explorer.ablation import Ablation, applied
from llavit_lens.explorer.view import MOST_WORDS

if TYPE_CHECKING:
    from llavit_lens.explorer.pictures import Picture
    from llavit_lens.lens.words import Words
    from llavit_lens.vlm.trace import Trace
    from llavit_lens.vlm.vlm import VLM

MOST_MODELS = 2
MOST_BYTES = 1024**3
"""Of finished readings, not counting the models."""
MOST_ANSWERS = 200
ANSWER_TOKENS = 64

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A model and how it is loaded, as `load` takes it."""

    name: str
    device: str = "auto"
    dtype: str = "auto"


@dataclass(frozen=True, eq=False)
class Reading:
    """What one model made of one picture and prompt.

    Attributes:
        key: identity.
        trace: the residual stream.
        words: the logit lens of all layers.
        similarity: the input similarity (Eq. 4).
    """

    key: Hashable
    trace: Trace
    words: Words
    similarity: Words
    device: str

    @property
    def depth(self) -> int:
        return self.trace.n_layers

    @property
    def nbytes(self) -> int:
        arrays = [self.words.ids, self.words.values, self.words.entropy, self.words.logsumexp]
        held = sum(array.nbytes for array in arrays if array is not None)
        return (
            held + self.trace.hidden.nbytes + 3 * self.trace.image.width * self.trace.image.height
        )


@dataclass
class Bench:
    """All models and readings of a server, shared by its sessions.

    One lock for all work: an intervention changes the model while it lasts, so no other pass may
    run meanwhile. A model is dropped before another one is loaded, and its readings, which hold on
    to its weights, go with it.
    """

    most_models: int = MOST_MODELS
    most_bytes: int = MOST_BYTES
    _models: OrderedDict[Source, VLM] = field(default_factory=OrderedDict)
    _readings: OrderedDict[Hashable, Reading] = field(default_factory=OrderedDict)
    _answers: OrderedDict[Hashable, str] = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def read(
        self,
        source: Source,
        picture: Picture,
        prompt: str,
        ablation: Ablation | None = None,
        progress: Progress = lambda step: None,
    ) -> Reading:
        """One model's reading.

        Raises:
            LlavitLensError: the model, picture or prompt is not one that works.
        """
        key = (source, picture.sha256, prompt, ablation)
        with self._lock:
            if key in self._readings:
                self._readings.move_to_end(key)
                if source in self._models:
                    self._models.move_to_end(source)
                return self._readings[key]
            vlm = self._model(source, progress)
            from llavit_lens.lens.input_similarity import input_similarity
            from llavit_lens.lens.logit_lens import logit_lens

            progress("Looking at the picture")
            with applied(vlm, ablation, _depth(vlm)):
                trace = vlm.trace(picture.image, _question(prompt))
            progress("Reading words off every patch, at every layer")
            k = min(MOST_WORDS, len(trace.unembedding), len(trace.embedding))
            reading = Reading(
                key,
                trace,
                logit_lens(trace, k),
                input_similarity(trace, k),
                str(vlm.device),
            )
            self._readings[key] = reading
            self._forget_readings()
            return reading

    def answer(
        self, source: Source, picture: Picture, prompt: str, ablation: Ablation | None = None
    ) -> str:
        """What the model answers.

        Raises:
            LlavitLensError: as `read`.
        """
        key = (source, picture.sha256, prompt, ablation)
        with self._lock:
            if key not in self._answers:
                vlm = self._model(source, lambda step: None)
                with applied(vlm, ablation, _depth(vlm)):
                    self._answers[key] = vlm.generate(
                        picture.image, _question(prompt), max_new_tokens=ANSWER_TOKENS
                    )
                while len(self._answers) > MOST_ANSWERS:
                    self._answers.popitem(last=False)
            return self._answers[key]

    def has_reading(
        self, source: Source, picture: Picture, prompt: str, ablation: Ablation | None = None
    ) -> bool:
        """Whether `read` would give it at once."""
        return (source, picture.sha256, prompt, ablation) in self._readings

    def has_answer(
        self, source: Source, picture: Picture, prompt: str, ablation: Ablation | None = None
    ) -> bool:
        """Whether `answer` would give it at once."""
        return (source, picture.sha256, prompt, ablation) in self._answers

    def _model(self, source: Source, progress: Progress) -> VLM:
        if source not in self._models:
            while len(self._models) >= self.most_models:
                gone, _ = self._models.popitem(last=False)
                for key in [k for k in self._readings if k[0] == gone]:  # type: ignore[index]
                    del self._readings[key]
            progress(f"Loading {source.name}")
            from llavit_lens.vlm.load import load

            self._models[source] = load(source.name, device=source.device, dtype=source.dtype)
        self._models.move_to_end(source)
        return self._models[source]

    def _forget_readings(self) -> None:
        """The oldest go first; the newest stays, whatever its size."""
        while (
            len(self._readings) > 1
            and sum(r.nbytes for r in self._readings.values()) > self.most_bytes
        ):
            self._readings.popitem(last=False)


def _question(prompt: str) -> str:
    from llavit_lens.vlm.vlm import DEFAULT_PROMPT

    return prompt or DEFAULT_PROMPT


def _depth(vlm: VLM) -> int:
    from llavit_lens.vlm.anatomy import language_parts

    return len(language_parts(vlm.model).layers)
