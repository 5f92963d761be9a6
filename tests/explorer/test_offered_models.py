"""Names of models, as people, links and the public read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from llavit_lens.explorer.offered_models import OfferedModels, demo_models, model_title
from llavit_lens.vlm.load import demo_names


def test_names_for_the_public(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place / "model").mkdir(parents=True)
    names = (
        str(tmp_path / "a/model"),
        str(tmp_path / "b/model"),
        "/gone/x",
        "owner/name",
        "demo:llavit",
    )
    models = OfferedModels(names, public=True)
    links = [models.to_link(name) for name in names]
    assert links == ["model", "model #2", "x", "owner/name", "demo:llavit"]
    assert [models.of_link(link) for link in links] == list(names)
    assert models.of_link(names[0]) is None
    said = models.without_paths(f"{names[1]}/config.json and /srv/tower/x.bin: https://hub.co/a/b")
    assert said == "model #2/config.json and …/x.bin: https://hub.co/a/b"
    private = OfferedModels(names)
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
def test_names_of_models_that_no_folder_has(name: str, title: str) -> None:
    models = OfferedModels((name,), public=True)
    assert models.title(name) == title
    assert models.without_paths("a message. Of two sentences") == "a message. Of two sentences"


def test_the_current_folder_is_no_full_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    models = OfferedModels((".",), public=True)
    assert models.title(".") == tmp_path.name
    assert (
        models.without_paths(f"{tmp_path}/x: bad. Mend it.") == f"{tmp_path.name}/x: bad. Mend it."
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
def test_messages_to_the_public_name_no_folder(message: str, public: str) -> None:
    assert OfferedModels(("demo:llavit",), public=True).without_paths(message) == public


def test_titles_of_the_demo_models_are_words() -> None:
    assert all(model_title(name) != name for name in demo_models())


def test_models_that_are_offered_are_those_that_load() -> None:
    assert demo_models() == demo_names()
    assert all(name in model_title(name) for name in [*demo_names(), "owner/name"])
