"""The page's logic, with Streamlit's own AppTest: the whole script runs, without a browser."""

import io
import json
import shutil
from importlib.resources import files
from types import SimpleNamespace

import pytest
from browser import EXPLORER
from streamlit.runtime.state.query_params_proxy import QueryParamsProxy
from streamlit.testing.v1 import AppTest

from llavit_lens.explorer import component, downloads, panels, sidebar, state, visitors
from llavit_lens.explorer.choices import ABLATIONS, Offer, demo_models, model_title
from llavit_lens.explorer.first_view import first_view
from llavit_lens.explorer.pictures import PUBLIC as PUBLIC_LIMITS
from llavit_lens.explorer.view import OWN, UNPINNED, View
from llavit_lens.inputs import DEFAULT_PROMPT
from llavit_lens.miniature.world.scenes import example_names
from llavit_lens.vlm.load import checkpoint_folder

SECONDS = 120


@pytest.fixture
def shown(monkeypatch):
    """What the page gave to the view in the browser, run after run."""
    views = []
    monkeypatch.setattr(
        component, "show_view", lambda still, moving, chosen: views.append((still, moving))
    )
    return views


@pytest.fixture
def page(shown, monkeypatch):
    monkeypatch.setattr("sys.argv", ["explorer.py"])
    return AppTest.from_file(str(EXPLORER), default_timeout=SECONDS)


def link_of(page):
    """Query parameters, which AppTest gives as they were set: as text or as lists of it."""
    given = page.query_params.items()
    return {name: value[-1] if isinstance(value, list) else value for name, value in given}


def still_of(view):
    return json.loads(view[0].split(b"\n")[1])


def test_it_opens_on_words(page, shown):
    page.run()
    assert not page.exception and not page.error and not page.warning
    (view,) = shown
    assert view[0] == first_view(View(picture=example_names()[0])).still
    assert len(still_of(view)["panes"]) == 1
    assert link_of(page) == {"picture": example_names()[0]}
    assert len(page.text) == 1 and page.text[0].value  # the answer
    assert page.text_input(key="prompt").placeholder == DEFAULT_PROMPT
    assert [
        o.split("(")[-1].rstrip(")") for o in page.selectbox(key="model").options
    ] == demo_models()


def test_compare(page, shown):
    page.run()
    page.segmented_control(key="mode").set_value("compare").run()
    assert not page.exception and not page.error
    still = still_of(shown[-1])
    assert ["baseline" in pane["name"] for pane in still["panes"]] == [True, False]
    assert still["difference"]
    assert len(page.text) == 2
    page.selectbox(key="other").set_value("demo:llavit").run()
    assert "both models are the same" in page.error[0].value


def test_a_searched_word(page, shown):
    page.run()
    page.text_input(key="word").set_value("red").run()
    search = shown[-1][1]["search"]
    assert search["word"] == "red" and "likeliest at layer" in search["panes"][0]["text"]
    assert link_of(page)["word"] == "red"
    page.text_input(key="word").set_value("xyzzy!").run()
    assert not page.exception
    assert "vocabulary" in page.warning[0].value
    assert shown[-1][1]["search"] is None


def test_another_question(page, shown):
    page.run()
    page.text_input(key="prompt").set_value("What color is it?").run()
    assert not page.error and link_of(page)["prompt"] == "What color is it?"
    page.text_input(key="prompt").set_value("<image> <image>").run()
    assert len(page.error) == 1 and not page.exception


def test_a_link_restores_its_view(page, shown):
    page.query_params.update(
        picture=example_names()[2], model="demo:baseline", layer="4", patch="9", color="entropy",
        scale="layer", labels="merged", k="3", word="sky",
    )  # fmt: skip
    before = link_of(page)
    page.run()
    assert not page.exception and not page.error and not page.warning
    still, moving = still_of(shown[-1]), shown[-1][1]
    assert "baseline" in still["panes"][0]["name"] and still["panes"][0]["k"] == 3
    assert moving["start"] == {
        "slot": 5, "pin": 9, "color": "entropy", "scale": "layer", "labels": "merged",
    }  # fmt: skip
    assert moving["search"]["word"] == "sky"
    assert link_of(page) == before


def test_a_layer_beyond_the_last_is_the_last(page, shown):
    page.query_params.update(layer="99", patch="5000", model="demo:baseline")
    page.run()
    assert not page.exception
    start = shown[-1][1]["start"]
    pane = still_of(shown[-1])["panes"][0]
    assert start["slot"] == len(pane["slots"]) - 1 and 0 <= start["pin"] < 64


SAID = {"slot": 3, "pin": 12, "color": "entropy", "scale": "layer", "labels": "off"}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"pin": None},
        {"slot": "3"},
        {"slot": True, "pin": None},
        {"pin": -1},
        {"slot": 10**9},
        {"color": "<b>"},
        {"color": []},
        {"scale": "linear"},
        {"labels": None},
        {"labels": {}},
        None,
    ],
)
def test_what_the_browser_says_is_checked(monkeypatch, changed):
    before = {"layer": None, "patch": None, "color": "probability", "scale": "", "labels": ""}
    session = dict(before)
    monkeypatch.setattr(state.st, "session_state", session)
    monkeypatch.setattr(component, "choice", lambda: {} if changed is None else {**SAID, **changed})
    state.take_choice()
    if changed in ({}, {"pin": None}):
        patch = UNPINNED if changed else 12
        assert session == {
            "layer": 2, "patch": patch, "color": "entropy", "scale": "layer", "labels": "off",
        }  # fmt: skip
    else:
        assert session == before


def test_a_link_loads_no_model_by_itself(page, shown, tmp_path):
    page.query_params["model"] = str(tmp_path)
    page.run()
    assert not page.exception
    assert "asks for the model" in page.warning[0].value
    assert "LLaViT" in still_of(shown[-1])["panes"][0]["name"]
    page.button(key="load_model").click().run()
    assert not page.exception and len(page.error) == 1  # an empty folder is no model


PUBLIC = "from llavit_lens.explorer.page import main; main(['--public', '--model', 'owner/name'])"


def test_a_public_page_offers_no_folder(shown, tmp_path):
    page = AppTest.from_string(PUBLIC, default_timeout=SECONDS)
    page.query_params["model"] = str(tmp_path)
    page.run()
    assert not page.exception
    assert "not among the models of this page" in page.warning[0].value
    assert not [button for button in page.button if "Load" in button.label]
    assert page.selectbox(key="model").options[0] == "owner/name"


def test_a_public_page_shows_no_path(shown, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(checkpoint_folder("demo:llavit"), folder)
    script = PUBLIC.replace("owner/name", str(folder))
    page = AppTest.from_string(script, default_timeout=SECONDS)
    page.query_params.update(model="mine", layer="4")
    page.run()
    assert not page.exception and not page.error and not page.warning
    assert page.selectbox(key="model").options[0] == "mine"
    assert not [box for box in page.selectbox if box.key in ("device", "dtype")]
    assert names_of(shown[-1]) == ["mine"]
    assert link_of(page)["model"] == "mine" and str(tmp_path) not in str(link_of(page))
    (folder / "config.json").write_text("{")
    again = AppTest.from_string(script, default_timeout=SECONDS)
    again.query_params["model"] = "mine"
    again.run()
    assert "mine" in again.error[0].value and tmp_path.name not in again.error[0].value
    named = AppTest.from_string(script, default_timeout=SECONDS)
    named.query_params["model"] = str(folder)  # no way to try which folders are there
    named.run()
    assert "not among the models of this page" in named.warning[0].value


def test_names_for_the_public(tmp_path):
    for place in ("a", "b"):
        (tmp_path / place / "model").mkdir(parents=True)
    names = (
        str(tmp_path / "a/model"),
        str(tmp_path / "b/model"),
        "/gone/x",
        "owner/name",
        "demo:llavit",
    )
    offer = Offer(names, public=True)
    links = [offer.to_link(name) for name in names]
    assert links == ["model", "model #2", "x", "owner/name", "demo:llavit"]
    assert [offer.of_link(link) for link in links] == list(names)
    assert offer.of_link(names[0]) is None
    said = offer.without_paths(f"{names[1]}/config.json and /srv/tower/x.bin: https://hub.co/a/b")
    assert said == "model #2/config.json and …/x.bin: https://hub.co/a/b"
    private = Offer(names)
    assert [private.to_link(name) for name in names] == list(names)
    assert private.without_paths(names[0]) == names[0]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("~nobody", "~nobody"),
        ("/srv/a\0b", "a\0b"),
        ("/srv/" + "x" * 300, "x" * 300),
        ("", ""),
        ("/", "/"),
        ("gpt2", "gpt2"),
    ],
)
def test_names_of_models_that_no_folder_has(name, title):
    offer = Offer((name,), public=True)
    assert offer.title(name) == title
    assert offer.without_paths("a message. Of two sentences") == "a message. Of two sentences"


def test_the_current_folder_is_no_full_stop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    offer = Offer((".",), public=True)
    assert offer.title(".") == tmp_path.name
    assert (
        offer.without_paths(f"{tmp_path}/x: bad. Mend it.") == f"{tmp_path.name}/x: bad. Mend it."
    )


@pytest.mark.parametrize(
    ("message", "public"),
    [
        ("/home/John Doe/secret/x", "…/x"),
        ("/home/J. O'Brien (work), a;b/secret/x: no such file", "…/x: no such file"),
        ("cannot read /a b/c d/e f.json: bad; see /x y/z", "cannot read …/e f.json: bad; see …/z"),
        ("'/home/J D/x' is empty", "'…/x' is empty"),
        ("PosixPath('/home/é ü/x')", "PosixPath('…/x')"),
        ("~/my things/x", "…/x"),
        ("~john/secret/x", "…/x"),
        ("../up/secret/x", "…/x"),
        ("error:/home/John Doe/x", "error:…/x"),
        ("file:///home/John Doe/x", "…/x"),
        ("file://localhost/home/John Doe/x", "…/x"),
        ("C:\\Users\\John Doe\\x.json: bad", "…/x.json: bad"),
        ("\\\\server\\John Doe\\x", "…/x"),
        ("/srv/m/llava: weights a/b lack 3/4 of and/or", "…/llava: weights a/b lack 3/4 of and/or"),
        (
            "https://hub.co/a/b and org/name and a / b / c",
            "https://hub.co/a/b and org/name and a / b / c",
        ),
    ],
)
def test_messages_to_the_public_name_no_folder(message, public):
    assert Offer(("demo:llavit",), public=True).without_paths(message) == public


def test_a_public_page_takes_so_many_visitors(shown, monkeypatch):
    monkeypatch.setattr(visitors, "has_seat", lambda: False)
    page = AppTest.from_string(PUBLIC, default_timeout=SECONDS).run()
    assert not page.exception and not shown and len(page.get("selectbox")) == 0
    assert "64 people have this page open" in page.error[0].value


def test_seats_are_free_once_their_sessions_have_ended(monkeypatch):
    active, session = set(), SimpleNamespace(session_id="")
    monkeypatch.setattr(visitors, "MOST_VISITORS", 2)
    monkeypatch.setattr(visitors, "exists", lambda: True)
    monkeypatch.setattr(
        visitors, "get_instance", lambda: SimpleNamespace(is_active_session=active.__contains__)
    )
    monkeypatch.setattr(visitors, "get_script_run_ctx", lambda: session)

    def comes(name):
        active.add(name)
        session.session_id = name
        return visitors.has_seat()

    assert [comes(name) for name in "abcaab"] == [True, True, False, True, True, True]
    active.remove("a")
    assert [comes(name) for name in "cab"] == [True, False, True]


def test_a_public_page_loads_no_folder_whatever_a_browser_sends(shown, tmp_path, monkeypatch):
    monkeypatch.setattr(sidebar, "show_sidebar", lambda offer: None)
    page = AppTest.from_string(PUBLIC, default_timeout=SECONDS)
    page.session_state["model"] = str(tmp_path)
    page.run()
    assert not page.exception and not shown
    assert "not among the models" in page.error[0].value


@pytest.mark.parametrize(
    "query", [{"picture": "../../etc/passwd"}, {"picture": "own"}, {"k": "many"}]
)
def test_a_link_that_makes_no_sense(page, shown, query):
    page.query_params.update(query)
    page.run()
    assert not page.exception and len(page.warning) == 1 and shown


def test_a_model_that_does_not_exist(page, shown):
    page.query_params["model"] = "/no/such/folder"
    page.run()
    page.button(key="load_model").click().run()
    assert not page.exception and len(page.error) == 1
    assert "no such folder" in page.error[0].value


def names_of(view):
    return [pane["name"] for pane in still_of(view)["panes"]]


def test_interventions_combine(page, shown):
    page.run()
    page.segmented_control(key="mode").set_value("ablate").run()
    assert not page.exception and not page.error
    assert {toggle.label for toggle in page.toggle} == set(ABLATIONS.values())
    assert [toggle.key for toggle in page.toggle if toggle.value] == ["switch visual_attention"]
    assert "Eq. 5" in names_of(shown[-1])[1]
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
    assert names_of(shown[-1]) == [
        "As it is",
        "no visual attention (Eq. 5), decoder layers 0 to 1; patches see no patches, not even "
        "themselves, decoder layers 4 to 5",
    ]
    assert link_of(page)["ablation"] == "visual_attention:0-1,visual->visual:4-5"
    assert "layers=range(0, 2)" in page.code[0].value and "range(4, 6)" in page.code[0].value
    for kind in ("visual_attention", "visual->visual"):
        page.toggle(key=f"switch {kind}").set_value(False).run()
    assert len(names_of(shown[-1])) == 1 and link_of(page)["ablation"] == "none"
    page.toggle(key="switch text->visual").set_value(True).run()
    assert any("No word on any patch changes" in caption.value for caption in page.caption)
    assert len({text.value for text in page.text}) == 2  # the answers do


@pytest.mark.parametrize(
    ("pair", "shows"), [("model", "LLaViT"), ("other", "LLaVA baseline"), ("after", None)]
)
def test_both_models_before_and_after(page, shown, pair, shows):
    page.query_params.update(mode="ablate", pair=pair, ablation="visual->visual:2-4")
    page.run()
    assert not page.exception and not page.error
    assert len(page.text) == 4  # answers
    names = names_of(shown[-1])
    after = ["decoder layers 2 to 4" in name for name in names]
    if shows is None:
        assert after == [True, True] and "baseline" in names[0] and "LLaViT" in names[1]
    else:
        assert after == [False, True] and all(name.startswith(shows) for name in names)
    assert page.slider(key="layers of visual->visual, 6").value == (2, 4)


def test_a_wrong_command_line_is_said_on_the_page(page, shown, monkeypatch):
    monkeypatch.setattr("sys.argv", ["explorer.py", "--pubilc"])
    page.run()
    assert not page.exception and "pubilc" in page.error[0].value and not shown


class _File(io.BytesIO):
    def __init__(self, name, data):
        super().__init__(data)
        self.name = name


def test_a_bad_upload_leaves_the_good_picture_and_says_which_file(monkeypatch, image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    session = {"picture": example_names()[2], "patch": 3, state.NOTES: []}
    monkeypatch.setattr(state.st, "session_state", session)

    def upload(file):
        session["upload"] = file
        state.take_upload(PUBLIC_LIMITS)

    upload(_File("bad.png", b"no picture"))
    assert session["picture"] == example_names()[2] and session["patch"] == 3
    assert session[state.UPLOAD_FAULT].startswith("bad.png: not an image")
    upload(None)
    assert session["picture"] == example_names()[2] and state.UPLOAD_FAULT not in session
    upload(_File("good.png", buffer.getvalue()))
    assert session["picture"] == OWN and session["patch"] is None
    upload(None)  # a browser that replaces a file takes the first one out
    upload(_File("bad.png", b"no picture"))
    assert session["picture"] == OWN and state.own_picture().image.size == image.size
    upload(None)
    upload(_File("good.png", buffer.getvalue()))
    upload(None)
    assert session["picture"] == example_names()[0] and session.get(state.OWN_PICTURE) is None


def agreed_pin(page, shown):
    """The pin, as (row, column), once all parts of the page have named the same one."""
    still, moving = still_of(shown[-1]), shown[-1][1]
    assert all(view[1]["start"] == moving["start"] for view in shown)  # the early view as well
    places = [s.value for s in page.subheader if "through the layers" in s.value]
    assert len(places) == 1
    columns = still["panes"][0]["grids"][0][1]
    pin = moving["start"]["pin"]
    if pin is None:
        assert places == ["A patch through the layers"]
        return None
    row, col = divmod(pin, columns)
    assert places == [f"The patch at row {row}, column {col}, through the layers"]
    return row, col


@pytest.mark.parametrize(
    "query",
    [{}, {"layer": "5"}, {"layer": "similarity"}, {"layer": "5", "model": "demo:baseline"},
     {"layer": "4", "mode": "compare"}, {"layer": "5", "word": "red"}, {"patch": "none"}],
)  # fmt: skip
def test_all_parts_of_the_page_show_one_pin(page, shown, monkeypatch, query):
    saved = []
    monkeypatch.setattr(
        downloads, "page", lambda still, start, search: saved.append(start) or "<html>"
    )
    monkeypatch.setattr(
        panels.st, "download_button", lambda label, data, **_: "HTML" in label and data()
    )
    page.query_params.update(query)
    page.run()
    assert not page.exception and not page.error and not page.warning
    pin = agreed_pin(page, shown)
    assert (pin is None) == (query.get("patch") == "none")
    assert saved == [shown[-1][1]["start"]]
    assert link_of(page) == {"picture": example_names()[0], **query}


@pytest.mark.parametrize("model", ["demo:llavit", "demo:baseline"])
def test_what_a_link_names_and_is_not_there_is_said_and_corrected(page, shown, model):
    page.query_params.update(layer="999", patch="999999", model=model)
    page.run()
    assert not page.exception and len(page.warning) == 1
    assert "6 is the last one" in page.warning[0].value
    assert "63 is the last one" in page.warning[0].value
    assert agreed_pin(page, shown) and shown[-1][1]["start"]["slot"] == 7
    assert link_of(page)["layer"] == "6" and "patch" not in link_of(page)
    page.run()
    assert not page.warning


def test_a_pin_that_was_taken_away_stays_away(page, shown):
    page.run()
    for name, value in (("layer", 2), ("patch", UNPINNED), ("color", "entropy")):
        page.session_state[name] = value
    shown.clear()
    page.run()
    assert not page.exception and agreed_pin(page, shown) is None
    assert link_of(page)["patch"] == "none"
    page.selectbox(key="model").set_value("demo:baseline").run()
    shown_now = still_of(shown[-1])["panes"][0]["name"]
    assert "baseline" in shown_now and shown[-1][1]["start"]["pin"] is not None


def test_a_link_keeps_the_model_that_waits_until_it_is_declined(page, shown, tmp_path):
    page.query_params.update(model=str(tmp_path), layer="30")
    page.run()
    page.text_input(key="word").set_value("red").run()
    assert link_of(page)["model"] == str(tmp_path) and link_of(page)["layer"] == "30"
    assert len(page.warning) == 1  # of the model; the layer may be right for it
    page.button(key="decline_model").click().run()
    assert not page.exception and "model" not in link_of(page)
    assert len(page.warning) == 1 and "6 is the last one" in page.warning[0].value


def test_ones_own_model_survives_a_reload(page, shown):
    folder = str(files("llavit_lens") / "assets" / "checkpoints" / "no_visual_attention")
    page.session_state["model"] = folder  # as if typed: AppTest cannot
    page.run()
    assert not page.exception and not page.error
    assert link_of(page)["model"] == folder
    again = AppTest.from_file(str(EXPLORER), default_timeout=SECONDS)
    again.query_params["model"] = folder
    again.run()
    assert not again.exception and not again.warning
    assert still_of(shown[-1])["panes"][0]["name"] == folder
    public = AppTest.from_string(PUBLIC, default_timeout=SECONDS)
    public.query_params["model"] = folder
    public.run()
    assert "not among the models of this page" in public.warning[0].value


def test_the_link_is_told_anew_when_what_a_run_hears_of_it_is_old(page, shown, monkeypatch):
    told = []
    page.run()
    from_dict = QueryParamsProxy.from_dict
    monkeypatch.setattr(
        QueryParamsProxy,
        "from_dict",
        lambda self, query: (told.append(query), from_dict(self, query)),
    )
    before = link_of(page)
    page.run()
    assert not told
    page.selectbox(key="picture").set_value(example_names()[1]).run()
    assert [query["picture"] for query in told] == [example_names()[1]]
    page.query_params.update(before)  # the browser's next run left before it had heard of that
    page.selectbox(key="picture").set_value(example_names()[0]).run()
    assert [query["picture"] for query in told[1:]] == [example_names()[0]]


def test_blanks_around_a_typed_folder_are_dropped(monkeypatch):
    session = {"model": " /a/folder ", state.PENDING: {"model": "/of/the/link"}}
    monkeypatch.setattr(state.st, "session_state", session)
    state.take_model("model")
    assert session == {"model": "/a/folder", state.PENDING: {}, "patch": None}


def test_a_model_that_does_it_already_says_so(page, shown):
    page.query_params.update(mode="ablate", ablation="causal", model="demo:baseline")
    page.run()
    assert not page.exception and not page.error
    assert any("this model already does that" in caption.value for caption in page.caption)


def test_layers_of_an_ablation_that_are_not_there_are_said(page, shown):
    page.query_params.update(mode="ablate", ablation="causal:3-8,self:2-3")
    page.run()
    assert not page.exception and not page.error and len(page.warning) == 1
    assert "They are 0 to 5" in page.warning[0].value and "self" not in page.warning[0].value
    assert link_of(page)["ablation"] == "self:2-3,causal:3-5"


def test_void_switches_are_said(page, shown):
    page.query_params.update(mode="ablate", ablation="visual_attention,bidirectional:2-3")
    page.run()
    assert not page.exception and not page.error
    assert any("(Eq. 8)” changes nothing: “No visual" in each.value for each in page.caption)


@pytest.mark.parametrize("mode", ["look", "compare", "ablate"])
def test_the_answer_stands_above_the_view(page, shown, monkeypatch, mode):
    monkeypatch.setattr(component, "show_view", lambda *_: panels.st.latex("view"))
    page.query_params["mode"] = mode
    page.run()
    assert not page.exception and not page.error and not page.info
    order = [type(element).__name__ for element in page.main]
    answers = [place for place, kind in enumerate(order) if kind == "Text"]
    assert len(answers) == (1 if mode == "look" else 2)
    assert order.index("TextInput") < min(answers) and max(answers) < order.index("Latex")


def test_titles_of_the_demo_models_are_words():
    assert all(model_title(name) != name for name in demo_models())
