"""Nothing is read twice, and what is kept is bounded."""

import gc
from importlib import import_module
from pathlib import Path
from threading import Thread
from weakref import ref

import pytest
import torch
from tiny_vlm import LAYERS, tiny_vlm

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.explorer import bench as module
from llavit_lens.explorer import component, panels
from llavit_lens.explorer.ablation import Ablation, applied, of_link
from llavit_lens.explorer.bench import FIND, LOOK, WORDS, Bench, Source, stamped
from llavit_lens.explorer.choices import ABLATIONS, OF_PATCHES
from llavit_lens.explorer.memory import model_bytes, vocabularies
from llavit_lens.explorer.opening import Start
from llavit_lens.explorer.pictures import OWN, Picture
from llavit_lens.explorer.sides import Side
from llavit_lens.explorer.switches import VOID, void_switches
from llavit_lens.images.open import pixel_sha256


@pytest.fixture
def picture(image):
    return Picture(OWN, image, image, pixel_sha256(image))


@pytest.fixture
def loaded(monkeypatch, tmp_path):
    """Names of the models that were loaded, in order."""
    names = []

    def load(name, device, dtype):
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


def test_a_reading_is_made_once(picture, loaded):
    bench, steps = Bench(), []
    watch = lambda step, done, total: steps.append(step)  # noqa: E731
    first = bench.read(Source("a"), picture, "", watch=watch)
    assert steps == [FIND, LOOK, WORDS]
    assert bench.known_reading(Source("a"), picture, "")
    assert bench.read(Source("a"), picture, "") is first
    assert bench.read(Source("a"), picture, "What?") is not first
    assert loaded == ["a"]


def test_small_models_all_stay(picture, loaded):
    bench = Bench()
    for name in ("a", "b", "c", "a", "b", "c"):
        bench.read(Source(name), picture, "")
        bench.read(Source(name), picture, "What?")
    assert loaded == ["a", "b", "c"]
    assert len(bench._models) == 3


def test_models_are_bounded_by_bytes_and_their_readings_outlive_them(picture, loaded):
    size = model_bytes(tiny_vlm("llava"))
    bench = Bench(most_model_bytes=2 * size + size // 2)
    for name in ("a", "b", "a", "c"):
        bench.read(Source(name), picture, "")
    assert set(bench._models) == {Source("a"), Source("c")}
    for name in ("a", "b", "c") * 2:  # three tabs that move their sliders
        bench.read(Source(name), picture, "")
    assert loaded == ["a", "b", "c"]
    bench.read(Source("b"), picture, "What?")
    assert loaded == ["a", "b", "c", "b"]
    alone = Bench(most_model_bytes=1)
    alone.read(Source("a"), picture, "")
    assert list(alone._models) == [Source("a")]


def test_a_name_that_leads_nowhere_costs_no_model(picture, loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("llavit_lens.vlm.load"), "checkpoint_folder", Path)
    bench = Bench(most_model_bytes=1)
    bench.read(Source("a"), picture, "")
    (tmp_path / "model.safetensors").write_bytes(bytes(9))  # and no config.json
    with pytest.raises(LlavitLensError, match="config"):
        bench.read(Source(str(tmp_path)), picture, "")
    assert loaded == ["a"] and list(bench._models) == [Source("a")]


def test_vocabularies_of_dropped_models_count(picture, loaded, monkeypatch):
    monkeypatch.setattr(module, "_check", lambda folder: None)
    bench = Bench(most_model_bytes=1)
    first = bench.read(Source("a"), picture, "")
    assert bench._held_bytes() == first.nbytes
    second = bench.read(Source("b"), picture, "")
    kept = sum(vocabularies(first.trace).values())
    assert bench._held_bytes() == first.nbytes + second.nbytes + kept


def test_finished_readings_are_bounded_by_bytes(picture, loaded):
    bench = Bench()
    size = bench.read(Source("a"), picture, "").nbytes
    bench = Bench(most_bytes=3 * size + size // 2)
    prompts = [f"What? {i}" for i in range(6)]
    for prompt in prompts:
        bench.read(Source("a"), picture, prompt)
    kept = [prompt for prompt in prompts if bench.known_reading(Source("a"), picture, prompt)]
    assert kept == prompts[-3:]
    alone = Bench(most_bytes=1)
    alone.read(Source("a"), picture, "")
    assert alone.known_reading(Source("a"), picture, "")


def test_answers_are_kept_and_bounded(picture, loaded, monkeypatch):
    monkeypatch.setattr(module, "MOST_ANSWERS", 2)
    monkeypatch.setattr(module, "ANSWER_TOKENS", 3)
    bench = Bench()
    answer = bench.answer(Source("a"), picture, "")
    assert bench.known_answer(Source("a"), picture, "")
    assert bench.answer(Source("a"), picture, "") == answer
    for prompt in ("What? 1", "What? 2"):
        bench.answer(Source("a"), picture, prompt)
    assert not bench.known_answer(Source("a"), picture, "")


def test_what_is_known_does_not_wait_for_work(picture, loaded):
    bench = Bench()
    first = bench.read(Source("a"), picture, "")
    bench.answer(Source("a"), picture, "")
    with bench._work:  # somebody loads a large model
        found = []
        asks = Thread(
            target=lambda: found.extend(
                f(Source("a"), picture, "") for f in (bench.known_reading, bench.known_answer)
            )
        )
        asks.start()
        asks.join(10)
        assert found[0] is first and found[1] is not None


def test_an_error_leaves_the_bench_usable(picture, loaded):
    bench = Bench()
    with pytest.raises(LlavitLensError, match="no such folder"):
        bench.read(Source("broken"), picture, "")
    assert bench.read(Source("a"), picture, "").words.k > 0
    assert not bench.known_reading(Source("broken"), picture, "")


def test_layers_of_an_ablation_must_be_there():
    for first, last in ((2, 1), (0, 3), (3, None), (-1, 0)):
        chosen = [Ablation("visual_attention"), Ablation("causal", first, last)]
        with pytest.raises(ConfigurationError, match="layers"), applied(None, chosen, 3):
            pass


@pytest.mark.parametrize("kind", ABLATIONS)
def test_every_ablation_runs_and_leaves_no_trace(picture, kind):
    vlm = tiny_vlm("llavit")
    before = vlm.trace(picture.image).hidden
    with applied(vlm, [Ablation(kind, 1)], LAYERS):
        inside = vlm.trace(picture.image).hidden
    assert torch.equal(vlm.trace(picture.image).hidden, before)
    # decoder layer l, counted from 0, puts out state l + 1
    assert torch.equal(inside[:2], before[:2])
    changes = kind in OF_PATCHES and kind != "bidirectional"  # which it is
    assert torch.equal(inside[2], before[2]) != changes


def test_several_interventions_are_those_of_the_library_at_once(picture):
    vlm = tiny_vlm("llavit")
    chosen = of_link("visual_attention:0-0,visual->text:1-2,text->visual:1-")
    with applied(vlm, chosen, LAYERS):
        found = vlm.run(picture.image)
    with (
        ll.ablate_visual_attention(vlm, layers=0),
        ll.knock_out(vlm, "visual->text", layers=[1, 2]),
        ll.knock_out(vlm, "text->visual", layers=range(1, LAYERS)),
    ):
        expected = vlm.run(picture.image)
    assert torch.equal(found, expected)
    for left_out in range(3):
        some = [a for number, a in enumerate(chosen) if number != left_out]
        with applied(vlm, some, LAYERS):
            assert not torch.equal(vlm.run(picture.image), expected)


@pytest.mark.parametrize("kind", ABLATIONS)
def test_the_code_that_is_shown_does_the_same(picture, kind):
    vlm = tiny_vlm("llavit")
    for ablation in (Ablation(kind), Ablation(kind, 0, 1)):
        with applied(vlm, [ablation], LAYERS):
            found = vlm.run(picture.image)
        with eval(ablation.code(LAYERS), {"ll": ll, "vlm": vlm}):
            assert torch.equal(vlm.run(picture.image), found)


@pytest.mark.parametrize(
    ("strong", "weak"), [(strong, weak) for strong, void in VOID.items() for weak in void]
)
@pytest.mark.parametrize("family", ["llava", "llavit"])
def test_what_the_page_calls_void_changes_nothing(picture, family, strong, weak):
    vlm = tiny_vlm(family)
    with applied(vlm, [Ablation(strong)], LAYERS):
        expected = vlm.run(picture.image)
    with applied(vlm, [Ablation(strong), Ablation(weak)], LAYERS):
        torch.testing.assert_close(vlm.run(picture.image), expected)
    (said,) = void_switches([Ablation(strong), Ablation(weak, 1)], LAYERS)
    assert said.startswith(f"“{ABLATIONS[weak]}” changes nothing: “{ABLATIONS[strong]}”")
    assert not void_switches([Ablation(strong, 0, 0), Ablation(weak, 1)], LAYERS)


def test_titles_of_ablations():
    assert Ablation("visual_attention").title(6).endswith(", all layers")
    assert Ablation("visual_attention", 0, 5).title(6).endswith(", all layers")
    assert Ablation("text->visual", 2).title(6).endswith(", decoder layers 2 to 5")
    assert Ablation("text->visual", 2, 2).title(6).endswith(", decoder layer 2")


def test_layers_that_end_before_the_last_stay_as_they_are_in_a_deeper_model():
    assert Ablation("causal", 2, 5).within(6) == Ablation("causal", 2, 5)
    assert Ablation("causal", 2, 9).within(6) == Ablation("causal", 2, 5)
    assert Ablation("causal", 0, 5).within(6) == Ablation("causal")
    assert Ablation("causal", 2).within(6) == Ablation("causal", 2)
    assert Ablation("causal", 8, 9).within(6) == Ablation("causal", 5, 5)


def test_a_folder_that_was_written_anew_is_read_anew(picture, loaded, tmp_path):
    bench, weights = Bench(), tmp_path / "model.safetensors"
    weights.write_bytes(b"old")
    first = stamped(Source(str(tmp_path)))
    bench.read(first, picture, "")
    assert bench.known_reading(stamped(Source(str(tmp_path))), picture, "")
    weights.write_bytes(b"newer")
    second = stamped(Source(str(tmp_path)))
    assert not bench.known_reading(second, picture, "")
    bench.read(second, picture, "")
    assert loaded == [str(tmp_path)] * 2 and list(bench._models) == [second]
    assert stamped(Source("demo:llavit")) == Source("demo:llavit")


def test_downloads_hold_no_reading_and_make_a_forgotten_one_anew(picture, loaded, monkeypatch):
    offered = {}
    monkeypatch.setattr(
        panels.st, "download_button", lambda label, data, **_: offered.update({label: data})
    )
    bench = Bench()
    reading = bench.read(Source("a"), picture, "What?")
    table = panels.downloads.table_csv([("a", reading)])
    start = Start(1, 0, "probability", "", "", 1, 0, "")
    sides = [Side("a", Source("a"), (), reading)]
    panels.show_downloads(bench, sides, picture, start, b"0\n{}\n", None)
    bench._readings.clear()
    gone = ref(reading)
    del reading, sides
    gc.collect()
    assert gone() is None
    assert offered["Words (CSV)"]() == table
    assert offered["Figure (PNG)"]().startswith(b"\x89PNG")


def test_a_pasted_text_that_is_too_long_is_not_decoded(monkeypatch):
    asked = {"picture": "data:image/png;base64," + "A" * 4000}
    monkeypatch.setattr(component.st, "session_state", {component.PASTE_KEY: asked})
    assert component.pasted_bytes() == bytes(3000)
    monkeypatch.setattr(component, "MOST_PASTED", 2000)
    assert component.pasted_bytes() == b""


def test_a_folder_that_changes_meanwhile_is_not_read_as_what_it_was(picture, loaded, tmp_path):
    bench, weights = Bench(), tmp_path / "model.safetensors"
    weights.write_bytes(b"old")
    source = stamped(Source(str(tmp_path)))
    first = bench.read(source, picture, "")
    weights.write_bytes(b"newer")
    assert bench.read(source, picture, "What?") is not first  # the model in memory is the old one
    newer = stamped(source)
    bench.read(newer, picture, "")
    with pytest.raises(ConfigurationError, match="files in this folder changed"):
        bench.read(source, picture, "Else?")
    assert list(bench._models) == [newer]


def test_a_folder_that_changes_while_it_is_loaded(picture, loaded, tmp_path, monkeypatch):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"old")
    source, bench = stamped(Source(str(tmp_path))), Bench()

    def load(name, device, dtype):
        weights.write_bytes(b"newer")
        return tiny_vlm("llava")

    monkeypatch.setattr(import_module("llavit_lens.vlm.load"), "load", load)
    with pytest.raises(ConfigurationError, match="files in this folder changed"):
        bench.read(source, picture, "")
    assert not bench._models and not bench._readings
