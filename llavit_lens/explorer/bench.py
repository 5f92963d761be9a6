"""Loaded models and what they read: nothing is computed twice, and memory stays bounded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llavit_lens.errors import ConfigurationError
from llavit_lens.explorer.ablation import Ablation, applied
from llavit_lens.explorer.view import MOST_WORDS

if TYPE_CHECKING:
    from llavit_lens.explorer.pictures import Picture
    from llavit_lens.model.progress import Watch
    from llavit_lens.results.words import Words
    from llavit_lens.vlm.trace import Trace
    from llavit_lens.vlm.vlm import VLM

MOST_BYTES = 1024**3
"""Of finished readings, with what they hold on to of models that are not loaded any more."""
MOST_ANSWERS = 200
ANSWER_TOKENS = 64

FIND, LOOK, WORDS = "Finding the model", "Looking at the picture", "Reading words at every layer"
"""Steps of a reading, beside those of the loading in between (`model.progress`)."""

Ablations = Sequence[Ablation]

Key = tuple[Any, ...]
"""What a reading or an answer is known by: the model, then all else that it depends on."""


def _nobody(step: str, done: int, total: int) -> None:
    """Watches nothing."""


Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Source:
    """A model and how it is loaded, as `load` takes it."""

    name: str
    device: str = "auto"
    dtype: str = "auto"
    stamp: Stamp = ()
    """Of the folder's files, which a training may write anew: see `stamped`."""


def stamped(source: Source) -> Source:
    """With the names, times and sizes of the files in its folder, if it is one: when they change,
    it is another model."""
    folder = Path(source.name).expanduser()
    found = []
    with suppress(OSError):
        for file in folder.iterdir():
            if file.suffix in (".safetensors", ".bin", ".json", ".jinja", ".model"):
                about = file.stat()
                found.append((file.name, about.st_mtime_ns, about.st_size))
    return replace(source, stamp=tuple(sorted(found)))


@dataclass(frozen=True, eq=False)
class Reading:
    """What one model made of one picture and prompt.

    Attributes:
        key: identity.
        trace: the residual stream.
        words: the logit lens of all layers.
        similarity: the input similarity (Eq. 4).
    """

    key: Key
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
    run meanwhile. Another for the books, so that who asks for what is there already need not wait
    for somebody's model to load. Models that find no room beside another one are dropped before
    that one is loaded; their readings stay, and so do their vocabulary's matrices, which readings
    hold on to.

    Attributes:
        most_bytes: of readings.
        most_model_bytes: of loaded models, of which one may be larger; None: half of the memory.
    """

    most_bytes: int = MOST_BYTES
    most_model_bytes: int | None = None
    _models: OrderedDict[Source, VLM] = field(default_factory=OrderedDict)
    _readings: OrderedDict[Key, Reading] = field(default_factory=OrderedDict)
    _answers: OrderedDict[Key, str] = field(default_factory=OrderedDict)
    _work: threading.RLock = field(default_factory=threading.RLock)
    _books: threading.RLock = field(default_factory=threading.RLock)

    def known_reading(
        self, source: Source, picture: Picture, prompt: str, ablations: Ablations = ()
    ) -> Reading | None:
        """A reading that was made before and is still there."""
        with self._books:
            reading = self._readings.get(key_of(source, picture, prompt, ablations))
            if reading is not None:
                self._readings.move_to_end(reading.key)
                if source in self._models:
                    self._models.move_to_end(source)
            return reading

    def read(
        self,
        source: Source,
        picture: Picture,
        prompt: str,
        ablations: Ablations = (),
        watch: Watch = _nobody,
    ) -> Reading:
        """One model's reading.

        Raises:
            LlavitLensError: the model, picture or prompt is not one that works.
        """
        with self._work:
            # somebody else may have made it while this one waited
            if (known := self.known_reading(source, picture, prompt, ablations)) is not None:
                return known
            vlm = self._model(source, watch)
            from llavit_lens.lens.input_similarity import input_similarity
            from llavit_lens.lens.logit_lens import logit_lens

            watch(LOOK, 0, 0)
            with applied(vlm, ablations, _depth(vlm)):
                trace = vlm.trace(picture.image, _question(prompt))
            watch(WORDS, 0, 0)
            k = min(MOST_WORDS, len(trace.unembedding), len(trace.embedding))
            reading = Reading(
                key_of(source, picture, prompt, ablations),
                trace,
                logit_lens(trace, k),
                input_similarity(trace, k),
                str(vlm.device),
            )
            with self._books:
                self._readings[reading.key] = reading
                self._forget_readings()
            return reading

    def again(self, key: Key, picture: Picture) -> Reading:
        """The reading that had this key, made anew if it was forgotten since.

        Raises:
            LlavitLensError: as `read`.
        """
        source, _, prompt, ablations = key
        return self.read(source, picture, prompt, ablations)

    def known_answer(
        self, source: Source, picture: Picture, prompt: str, ablations: Ablations = ()
    ) -> str | None:
        """An answer that was given before."""
        with self._books:
            return self._answers.get(key_of(source, picture, prompt, ablations))

    def answer(
        self, source: Source, picture: Picture, prompt: str, ablations: Ablations = ()
    ) -> str:
        """What the model answers.

        Raises:
            LlavitLensError: as `read`.
        """
        with self._work:
            if (known := self.known_answer(source, picture, prompt, ablations)) is not None:
                return known
            vlm = self._model(source, _nobody)
            with applied(vlm, ablations, _depth(vlm)):
                answer = vlm.generate(
                    picture.image, _question(prompt), max_new_tokens=ANSWER_TOKENS
                )
            with self._books:
                self._answers[key_of(source, picture, prompt, ablations)] = answer
                while len(self._answers) > MOST_ANSWERS:
                    self._answers.popitem(last=False)
            return answer

    def _model(self, source: Source, watch: Watch) -> VLM:
        with self._books:
            if source in self._models:
                self._models.move_to_end(source)
                return self._models[source]
        _check_stamp(source)
        with self._books:
            for other in list(self._models):  # nobody can ask for what the folder held before
                if replace(other, stamp=source.stamp) == source:
                    del self._models[other]
        watch(FIND, 0, 0)
        from llavit_lens.explorer.memory import expected_bytes
        from llavit_lens.model.progress import watching
        from llavit_lens.vlm.load import checkpoint_folder, load

        with watching(watch):
            folder = checkpoint_folder(source.name)  # one that leads nowhere costs nobody a model
            expected = expected_bytes(folder, source.dtype, _on_cpu(source.device))
            if self._loaded_bytes() + expected > self._room():
                _check(folder)
                self._drop_models(expected)
            vlm = load(source.name, device=source.device, dtype=source.dtype)
        _check_stamp(source)
        with self._books:
            self._models[source] = vlm
        self._drop_models(0)
        return vlm

    def _room(self) -> int:
        from llavit_lens.explorer.memory import room_for_models

        return room_for_models() if self.most_model_bytes is None else self.most_model_bytes

    def _loaded_bytes(self) -> int:
        from llavit_lens.explorer.memory import model_bytes

        with self._books:
            models = list(self._models.values())
        return sum(model_bytes(vlm) for vlm in models)

    def _drop_models(self, expected: int) -> None:
        """Make room for so many bytes. The model used last goes last; one that is there stays, if
        nothing else is to come, whatever its size."""
        with self._books:
            least = 0 if expected else 1
            while len(self._models) > least and self._loaded_bytes() + expected > self._room():
                self._models.popitem(last=False)
            self._forget_readings()

    def _forget_readings(self) -> None:
        """The oldest go first; the newest stays, whatever its size."""
        while len(self._readings) > 1 and self._held_bytes() > self.most_bytes:
            self._readings.popitem(last=False)

    def _held_bytes(self) -> int:
        """Of readings, and of vocabularies that they alone keep in memory."""
        from llavit_lens.explorer.memory import vocabularies

        held: dict[int, int] = {}
        for reading in self._readings.values():
            held |= vocabularies(reading.trace)
        for vlm in self._models.values():
            for weight in vlm.model.parameters():
                held.pop(weight.data_ptr(), None)
        return sum(held.values()) + sum(reading.nbytes for reading in self._readings.values())


def _check_stamp(source: Source) -> None:
    """Raises ConfigurationError: the files in its folder are not those that it was stamped with."""
    if source.stamp and stamped(source) != source:
        raise ConfigurationError(
            f"{source.name}: files in this folder changed since the page looked at it; load "
            "the page again for the new ones, once they are complete"
        )


def key_of(source: Source, picture: Picture, prompt: str, ablations: Ablations) -> Key:
    """What a reading or an answer is known by."""
    return source, picture.sha256, prompt, tuple(ablations)


def _question(prompt: str) -> str:
    from llavit_lens.vlm.vlm import DEFAULT_PROMPT

    return prompt or DEFAULT_PROMPT


def _on_cpu(device: str) -> bool:
    import torch

    return device == "cpu" or (device == "auto" and not torch.cuda.is_available())


def _check(folder: Path) -> None:
    """Whether a folder holds a model, as far as that can be told before its weights are read.

    Raises:
        LlavitLensError: it does not.
    """
    from llavit_lens.model.checkpoints.detect import is_llava
    from llavit_lens.model.checkpoints.source import open_source

    if is_llava(folder):
        open_source(folder)


def _depth(vlm: VLM) -> int:
    return vlm.decoder.n_layers
