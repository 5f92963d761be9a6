"""Nothing is computed twice, and the cache is bounded."""

from __future__ import annotations

import gc
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any
from weakref import ref

import pytest
from tiny_vlm import tiny_vlm

from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.explorer import download_buttons
from llavit_lens.explorer import lens_cache as module
from llavit_lens.explorer.encoded_payload import EncodedPayload
from llavit_lens.explorer.input_image import InputImage
from llavit_lens.explorer.lens_cache import FIND, LOOK, WORDS, LensCache
from llavit_lens.explorer.memory import model_bytes, vocabularies
from llavit_lens.explorer.model_spec import ModelSpec, with_stamp
from llavit_lens.explorer.panes import Pane
from llavit_lens.explorer.start import Start
from llavit_lens.explorer.view import View
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.vlm import VLM


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names of the models that were loaded, in order."""
    names: list[str] = []

    def load(name: str, device: str, dtype: str) -> VLM:
        assert (device, dtype) == ("auto", "auto")
        names.append(name)
        if name == "broken":
            raise LlavitLensError("broken: no such folder")
        return tiny_vlm("llava")

    monkeypatch.setattr(import_module("llavit_lens.vlm.load"), "load", load)
    folder = tmp_path / "nothing in it"
    monkeypatch.setattr(
        import_module("llavit_lens.vlm.load"), "checkpoint_folder", lambda _: folder
    )
    return names


def test_a_reading_is_made_once(input_image: InputImage, loaded: list[str]) -> None:
    cache, steps = LensCache(), []
    watch = lambda step, done, total: steps.append(step)  # noqa: E731
    first = cache.result(ModelSpec("a"), input_image, "", watch=watch)
    assert steps == [FIND, LOOK, WORDS]
    assert cache.cached_result(ModelSpec("a"), input_image, "")
    assert cache.result(ModelSpec("a"), input_image, "") is first
    assert cache.result(ModelSpec("a"), input_image, "What?") is not first
    assert loaded == ["a"]


def test_small_models_all_stay(input_image: InputImage, loaded: list[str]) -> None:
    cache = LensCache()
    for name in ("a", "b", "c", "a", "b", "c"):
        cache.result(ModelSpec(name), input_image, "")
        cache.result(ModelSpec(name), input_image, "What?")
    assert loaded == ["a", "b", "c"]
    assert len(cache._models) == 3


@pytest.mark.long
def test_models_are_bounded_by_bytes_and_their_readings_outlive_them(
    input_image: InputImage, loaded: list[str]
) -> None:
    size = model_bytes(tiny_vlm("llava"))
    cache = LensCache(most_model_bytes=2 * size + size // 2)
    for name in ("a", "b", "a", "c"):
        cache.result(ModelSpec(name), input_image, "")
    assert set(cache._models) == {ModelSpec("a"), ModelSpec("c")}
    for name in ("a", "b", "c") * 2:  # three tabs that move their sliders
        cache.result(ModelSpec(name), input_image, "")
    assert loaded == ["a", "b", "c"]
    cache.result(ModelSpec("b"), input_image, "What?")
    assert loaded == ["a", "b", "c", "b"]
    alone = LensCache(most_model_bytes=1)
    alone.result(ModelSpec("a"), input_image, "")
    assert list(alone._models) == [ModelSpec("a")]


def test_a_name_that_leads_nowhere_costs_no_model(
    input_image: InputImage, loaded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("llavit_lens.vlm.load"), "checkpoint_folder", Path)
    cache = LensCache(most_model_bytes=1)
    cache.result(ModelSpec("a"), input_image, "")
    (tmp_path / "model.safetensors").write_bytes(bytes(9))  # and no config.json
    with pytest.raises(LlavitLensError, match="config"):
        cache.result(ModelSpec(str(tmp_path)), input_image, "")
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_vl"}')
    with pytest.raises(LlavitLensError, match=r"model\.safetensors is damaged"):
        cache.result(ModelSpec(str(tmp_path)), input_image, "")
    assert loaded == ["a"] and list(cache._models) == [ModelSpec("a")]


def test_vocabularies_of_dropped_models_count(
    input_image: InputImage, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("llavit_lens.vlm.load"), "check_folder", lambda folder: None)
    cache = LensCache(most_model_bytes=1)
    first = cache.result(ModelSpec("a"), input_image, "")
    assert cache._result_bytes() == first.nbytes
    second = cache.result(ModelSpec("b"), input_image, "")
    kept = sum(vocabularies(first.trace).values())
    assert cache._result_bytes() == first.nbytes + second.nbytes + kept


def test_finished_readings_are_bounded_by_bytes(input_image: InputImage, loaded: list[str]) -> None:
    cache = LensCache()
    size = cache.result(ModelSpec("a"), input_image, "").nbytes
    cache = LensCache(most_bytes=3 * size + size // 2)
    prompts = [f"What? {i}" for i in range(6)]
    for prompt in prompts:
        cache.result(ModelSpec("a"), input_image, prompt)
    kept = [
        prompt for prompt in prompts if cache.cached_result(ModelSpec("a"), input_image, prompt)
    ]
    assert kept == prompts[-3:]
    alone = LensCache(most_bytes=1)
    alone.result(ModelSpec("a"), input_image, "")
    assert alone.cached_result(ModelSpec("a"), input_image, "")


def test_answers_are_kept_and_bounded(
    input_image: InputImage, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ANSWERS", 2)
    monkeypatch.setattr(module, "ANSWER_TOKENS", 3)
    cache = LensCache()
    answer = cache.answer(ModelSpec("a"), input_image, "")
    assert cache.cached_answer(ModelSpec("a"), input_image, "")
    assert cache.answer(ModelSpec("a"), input_image, "") == answer
    assert answer.endswith("…")  # it is cut at its maximal length
    for prompt in ("What? 1", "What? 2"):
        cache.answer(ModelSpec("a"), input_image, prompt)
    assert not cache.cached_answer(ModelSpec("a"), input_image, "")


def test_what_is_known_does_not_wait_for_work(input_image: InputImage, loaded: list[str]) -> None:
    cache = LensCache()
    first = cache.result(ModelSpec("a"), input_image, "")
    cache.answer(ModelSpec("a"), input_image, "")
    with cache._models_lock:  # another session loads a large model
        found = []
        thread = Thread(
            target=lambda: found.extend(
                f(ModelSpec("a"), input_image, "")
                for f in (cache.cached_result, cache.cached_answer)
            )
        )
        thread.start()
        thread.join(10)
        assert found[0] is first and found[1] is not None


def test_an_error_leaves_the_bench_usable(input_image: InputImage, loaded: list[str]) -> None:
    cache = LensCache()
    with pytest.raises(LlavitLensError, match="no such folder"):
        cache.result(ModelSpec("broken"), input_image, "")
    assert cache.result(ModelSpec("a"), input_image, "").words.k > 0
    assert not cache.cached_result(ModelSpec("broken"), input_image, "")


def test_a_folder_that_was_written_anew_is_read_anew(
    input_image: InputImage, loaded: list[str], tmp_path: Path
) -> None:
    cache, weights = LensCache(), tmp_path / "model.safetensors"
    weights.write_bytes(b"old")
    first = with_stamp(ModelSpec(str(tmp_path)))
    cache.result(first, input_image, "")
    assert cache.cached_result(with_stamp(ModelSpec(str(tmp_path))), input_image, "")
    weights.write_bytes(b"newer")
    second = with_stamp(ModelSpec(str(tmp_path)))
    assert not cache.cached_result(second, input_image, "")
    cache.result(second, input_image, "")
    assert loaded == [str(tmp_path)] * 2 and list(cache._models) == [second]
    assert with_stamp(ModelSpec("demo:llavit")) == ModelSpec("demo:llavit")


@pytest.mark.long
def test_downloads_hold_no_reading_and_make_a_forgotten_one_anew(
    input_image: InputImage, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = {}
    monkeypatch.setattr(
        download_buttons.st,
        "download_button",
        lambda label, data, **_: offered.update({label: data}),
    )
    cache = LensCache()
    result = cache.result(ModelSpec("a"), input_image, "What?")
    table = download_buttons.downloads.table_csv([("a", result)])
    start = Start(1, 0, View(layer=1, patch=0))
    panes = [Pane("a", ModelSpec("a"), (), result)]
    download_buttons.show_downloads(
        cache, panes, input_image, start, EncodedPayload("0", b"{}"), None
    )
    cache._results.clear()
    gone = ref(result)
    del result, panes
    gc.collect()
    assert gone() is None
    assert offered["Words (CSV)"]() == table
    assert offered["Figure (PNG)"]().startswith(b"\x89PNG")


def test_a_folder_that_changes_meanwhile_is_not_read_as_what_it_was(
    input_image: InputImage, loaded: list[str], tmp_path: Path
) -> None:
    cache, weights = LensCache(), tmp_path / "model.safetensors"
    weights.write_bytes(b"old")
    spec = with_stamp(ModelSpec(str(tmp_path)))
    first = cache.result(spec, input_image, "")
    weights.write_bytes(b"newer")
    assert (
        cache.result(spec, input_image, "What?") is not first
    )  # the model in memory is the old one
    newer = with_stamp(spec)
    cache.result(newer, input_image, "")
    with pytest.raises(ConfigurationError, match="files in this folder changed"):
        cache.result(spec, input_image, "Else?")
    assert list(cache._models) == [newer]


def test_a_folder_that_changes_while_it_is_loaded(
    input_image: InputImage, loaded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"old")
    spec, cache = with_stamp(ModelSpec(str(tmp_path))), LensCache()

    def load(name: str, device: str, dtype: str) -> VLM:
        weights.write_bytes(b"newer")
        return tiny_vlm("llava")

    monkeypatch.setattr(import_module("llavit_lens.vlm.load"), "load", load)
    with pytest.raises(ConfigurationError, match="files in this folder changed"):
        cache.result(spec, input_image, "")
    assert not cache._models and not cache._results


def test_a_model_without_a_map_is_refused_in_one_line(
    input_image: InputImage, loaded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = VLM.prepare

    def without_map(vlm: VLM, *args: Any) -> Prompt:
        prompt = prepare(vlm, *args)
        queries = VisualLayout.without_map(prompt.layout.positions, prompt.layout.image_size)
        return replace(prompt, layouts=(queries,))

    monkeypatch.setattr(VLM, "prepare", without_map)
    with pytest.raises(ConfigurationError, match=r"16 visual tokens are queries .* no map$"):
        LensCache().result(ModelSpec("a"), input_image, "")
