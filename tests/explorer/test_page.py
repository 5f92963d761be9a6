"""The page's logic: models, words, interventions and answers."""

from __future__ import annotations

import pytest
from explorer_page import ShownView, answers_of, is_answer, link_of
from streamlit.testing.v1 import AppTest

from llavit_lens.explorer import component, download_buttons
from llavit_lens.explorer.ablation import to_link
from llavit_lens.explorer.choices import ABLATIONS
from llavit_lens.explorer.first_view import first_view
from llavit_lens.explorer.offered_models import OfferedModels, demo_models
from llavit_lens.explorer.presets import PRESETS
from llavit_lens.explorer.view import View
from llavit_lens.inputs import DEFAULT_PROMPT
from llavit_lens.miniature.world.scenes import FIRST_EXAMPLE

pytestmark = pytest.mark.long


def said(page: AppTest) -> str:
    """All that the page says in Markdown, without its backslashes."""
    return "\n".join(element.value for element in page.markdown).replace("\\", "")


def test_it_opens_on_words(page: AppTest, shown: list[ShownView]) -> None:
    page.run()
    assert not page.exception and not page.error and not page.warning
    (view,) = shown
    assert view.words == first_view(View(picture=FIRST_EXAMPLE)).words
    assert len(view.panes) == 1
    assert link_of(page) == {"picture": FIRST_EXAMPLE}
    (answer,) = answers_of(page)
    assert answer.count("✓") == 4 and "✗" not in answer
    assert page.text_input(key="prompt").placeholder == DEFAULT_PROMPT
    titles = [OfferedModels(()).short_title(name) for name in demo_models()]
    assert page.selectbox(key="model").options == titles and len({*titles}) == len(titles)


def test_compare(page: AppTest, shown: list[ShownView]) -> None:
    page.run()
    page.segmented_control(key="mode").set_value("compare").run()
    assert not page.exception and not page.error
    assert ["baseline" in name for name in shown[-1].names] == [True, False]
    assert shown[-1].words.payload()["difference"]
    assert len(answers_of(page)) == 2
    page.selectbox(key="other").set_value("demo:llavit").run()
    assert "both models are the same" in page.error[0].value


def test_a_searched_word(page: AppTest, shown: list[ShownView]) -> None:
    page.run()
    page.text_input(key="word").set_value("red").run()
    search = shown[-1].search
    assert search["word"] == "red" and "likeliest at layer" in search["panes"][0]["text"]
    assert link_of(page)["word"] == "red"
    page.text_input(key="word").set_value("xyzzy!").run()
    assert not page.exception
    assert "vocabulary" in page.warning[0].value
    assert shown[-1].search is None


def test_another_question(page: AppTest, shown: list[ShownView]) -> None:
    page.run()
    page.text_input(key="prompt").set_value("What color is it?").run()
    assert not page.error and link_of(page)["prompt"] == "What color is it?"
    page.text_input(key="prompt").set_value("<image> <image>").run()
    assert len(page.error) == 1 and not page.exception


def test_interventions_combine(page: AppTest, shown: list[ShownView]) -> None:
    page.run()
    page.segmented_control(key="mode").set_value("ablate").run()
    assert not page.exception and not page.error
    assert {toggle.label for toggle in page.toggle} == set(ABLATIONS.values())
    assert [toggle.key for toggle in page.toggle if toggle.value] == ["switch visual_attention"]
    assert "Eq. 5" in shown[-1].names[1]
    page.toggle(key="switch visual->visual").set_value(True).run()
    (eq5, knockout) = (
        page.slider(key=f"layers of {k}, 6") for k in ("visual_attention", "visual->visual")
    )
    assert eq5.value == knockout.value == (0, 5)
    assert "decoder layers, of 0 to 5" in knockout.label
    knockout.set_value((4, 5)).run()
    eq5 = page.slider(key="layers of visual_attention, 6")
    eq5.set_value((0, 1)).run()
    assert not page.exception and not page.error
    assert shown[-1].names == [
        "As it is",
        "no visual attention (Eq. 5), decoder layers 0 to 1; patches see no patches, not even "
        "themselves, decoder layers 4 to 5",
    ]
    assert link_of(page)["ablation"] == "visual_attention:0-1,visual->visual:4-5"
    assert "layers=range(0, 2)" in page.code[0].value and "range(4, 6)" in page.code[0].value
    for kind in ("visual_attention", "visual->visual"):
        page.toggle(key=f"switch {kind}").set_value(False).run()
    assert len(shown[-1].names) == 1 and link_of(page)["ablation"] == "none"
    page.toggle(key="switch text->visual").set_value(True).run()
    assert "The answer is now wrong; no word on any patch changed: this changes what" in said(page)
    assert len(set(answers_of(page))) == 2  # the answers do


@pytest.mark.parametrize(
    ("pair", "shows"), [("model", "LLaViT"), ("other", "LLaVA baseline"), ("after", None)]
)
def test_both_models_before_and_after(
    page: AppTest, shown: list[ShownView], pair: str, shows: str | None
) -> None:
    page.query_params.update(mode="ablate", pair=pair, ablation="visual->visual:2-4")
    page.run()
    assert not page.exception and not page.error
    assert len(answers_of(page)) == 4
    names = shown[-1].names
    after = ["decoder layers 2 to 4" in name for name in names]
    if shows is None:
        assert after == [True, True] and "baseline" in names[0] and "LLaViT" in names[1]
    else:
        assert after == [False, True] and all(name.startswith(shows) for name in names)
    assert page.slider(key="layers of visual->visual, 6").value == (2, 4)


def test_a_wrong_command_line_is_said_on_the_page(
    page: AppTest, shown: list[ShownView], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["explorer.py", "--pubilc"])
    page.run()
    assert not page.exception and "pubilc" in page.error[0].value and not shown


def test_a_model_that_does_it_already_says_so(page: AppTest, shown: list[ShownView]) -> None:
    page.query_params.update(mode="ablate", ablation="causal", model="demo:baseline")
    page.run()
    assert not page.exception and not page.error
    assert "The answer stays the same; no word on any patch changed: this model" in said(page)


def test_layers_of_an_ablation_that_are_not_there_are_said(
    page: AppTest, shown: list[ShownView]
) -> None:
    page.query_params.update(mode="ablate", ablation="causal:3-8,self:2-3")
    page.run()
    assert not page.exception and not page.error and len(page.warning) == 1
    assert "They are 0 to 5" in page.warning[0].value and "self" not in page.warning[0].value
    assert link_of(page)["ablation"] == "self:2-3,causal:3-5"


def test_void_switches_are_said(page: AppTest, shown: list[ShownView]) -> None:
    page.query_params.update(mode="ablate", ablation="visual_attention,bidirectional:2-3")
    page.run()
    assert not page.exception and not page.error
    assert any("(Eq. 8)” changes nothing: “No visual" in each.value for each in page.caption)


@pytest.mark.parametrize("mode", ["look", "compare", "ablate"])
def test_the_answer_stands_above_the_view(
    page: AppTest, shown: list[ShownView], monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(component, "show_view", lambda *_: download_buttons.st.latex("view"))
    page.query_params["mode"] = mode
    page.run()
    assert not page.exception and not page.error and not page.info
    order = [type(element).__name__ for element in page.main]
    answers = [place for place, element in enumerate(page.main) if is_answer(element)]
    assert len(answers) == (1 if mode == "look" else 2)
    assert order.index("TextInput") < min(answers) and max(answers) < order.index("Latex")


def test_presets(page: AppTest, shown: list[ShownView]) -> None:
    page.query_params["mode"] = "ablate"
    page.run()
    for presets in PRESETS.values():
        for preset in presets:
            page.button(key=f"preset {preset.label}").click().run()
            assert not page.exception and not page.error and not page.warning
            on = preset.ablation(6)
            assert [toggle.key for toggle in page.toggle if toggle.value] == [f"switch {on.kind}"]
            assert page.slider(key=f"layers of {on.kind}, 6").value == (on.first, on.layers(6)[-1])
            assert preset.why in [element.value for element in page.markdown]
            assert link_of(page).get("ablation", "visual_attention") == to_link([on])
    page.toggle(key="switch causal").set_value(True).run()
    assert "Your own set of switches" in said(page)


def test_the_effect_is_said_in_one_line(page: AppTest, shown: list[ShownView]) -> None:
    page.query_params.update(mode="ablate", pair="model", layer="6")
    page.run()
    lines = [m.value for m in page.markdown if "words changed on" in m.value]
    (both,) = lines
    assert both.count("The answer ") == both.count("of 64 patches at layer 6") == 2


@pytest.fixture
def offering_a_wrong_model(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page with a model that is not there among its models: AppTest types no other names."""
    monkeypatch.setattr("sys.argv", ["explorer.py", "--model", "nope"])
    return page


def test_a_wrong_model_keeps_the_last_view(
    offering_a_wrong_model: AppTest, shown: list[ShownView]
) -> None:
    page = offering_a_wrong_model
    page.run()
    page.text_input(key="prompt").set_value("What does the sign say?").run()
    before = shown[-1].names
    page.selectbox(key="model").set_value("nope").run()
    assert not page.exception and shown[-1].names == before
    (error,) = page.error
    assert "there is no such folder" in error.value and "you saw before" in error.value
    assert answers_of(page) == ["slow :green[✓]"] and link_of(page).get("model") is None
    chips = page.pills(key="suggestion")  # of the model that is shown
    assert "What does the sign say?" in chips.options and len(chips.options) == 4
    other = next(question for question in chips.options if question != chips.value)
    chips.set_value(other).run()
    assert not page.exception and len(page.error) == 1
    assert page.pills(key="suggestion").value == other
    assert any(f"asked “{other}”" in each.value.replace("\\", "") for each in page.caption)
    page.selectbox(key="model").set_value("demo:baseline").run()
    assert not page.error and shown[-1].names != before


def test_a_wrong_second_model_keeps_the_last_view(
    offering_a_wrong_model: AppTest, shown: list[ShownView]
) -> None:
    page = offering_a_wrong_model
    page.query_params.update(mode="ablate", pair="after")
    page.run()
    before = shown[-1].names
    for wrong in ("nope", "demo:llavit"):
        page.selectbox(key="other").set_value(wrong).run()
        assert not page.exception and len(page.error) == 1 and shown[-1].names == before


def test_a_wrong_model_in_the_first_view_is_an_error(
    offering_a_wrong_model: AppTest, shown: list[ShownView]
) -> None:
    page = offering_a_wrong_model
    page.query_params["model"] = "nope"
    page.run()
    assert not page.exception and "no such folder" in page.error[0].value and not shown


def test_a_suggested_question_is_asked(page: AppTest, shown: list[ShownView]) -> None:
    page.run()
    chips = page.pills(key="suggestion")
    assert len(chips.options) == 4
    chips.set_value("What does the sign say?").run()
    assert not page.exception and link_of(page)["prompt"] == "What does the sign say?"
    assert answers_of(page) == ["slow :green[✓]"]
    page.text_input(key="prompt").set_value("Where is the fish?").run()
    assert page.pills(key="suggestion").value is None
    assert "✗ wrong] correct: **" in answers_of(page)[0] or "✓" in answers_of(page)[0]


def test_the_resolution_and_the_program_stand_below(page: AppTest, shown: list[ShownView]) -> None:
    for mode in ("look", "compare", "ablate"):
        page.query_params["mode"] = mode
        page.run()
        assert any("sees 112 × 112" in each.value or "both models see 112 × 112" in each.value
                   for each in page.caption)  # fmt: skip
        (code,) = page.code
        assert code.value.startswith("import llavit_lens as ll")
        assert 'll.example("fish-chicken-slow")' in code.value
