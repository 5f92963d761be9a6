"""Text of models and users stays text in Streamlit's own rendering, in a real Chromium."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from browser import EXPLORER, explorer_server, open_browser

from llavit_lens.explorer.wording import JOINER

MILLISECONDS = 90_000
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

TEXTS = [
    "https://evil.example/x?a=b",
    "HTTPS://EVIL.example",
    "https://a_b.example/_x_ (https://c.example)",
    "https:/\\/evil.example",
    "https://https://evil.example",
    "see www.evil.example/x now",
    "WWW.evil.example",
    "_www.evil.example_ www.www.evil.example",
    "mail a.b+c@evil.example, d@e@f.example a@@b.example",
    "mailto:a@b.example xmpp:a@b.example/x ftp://evil.example //evil.example",
    "[a](https://evil.example) [a](javascript:alert(1))",
    "![i](https://evil.example/p.png)",
    "<https://evil.example>",
    "<a href='https://evil.example'>x</a><!-- y -->",
    "<img src=x onerror=alert(1)>",
    "[x]: https://evil.example",
    "[^1]: note",
    ":material/face: and :material/face",
    ":smile: a:smile:b :+1: :-1: ::smile:: :smile::smile:",
    ":streamlit:",
    ":red[x] :blue-background[y] :violet-badge[:material/star: z] :small[a]",
    "$latex$ $$x^2$$ \\(x\\)",
    "`code` **b** _i_ ~~s~~ ``` x",
    "# head",
    "- [ ] task",
    "1. item",
    "> quote",
    "| a | b |",
    "---",
    "a -> b <- c -- d >= e <= f ~= g <-> h",
    "-> a",
    "&lt;b&gt; &amp; &#60;",
    "a\\*b\\",
    "demo:llavit and C:/x and 12:30",
]
SCRIPT = f"""
import streamlit as st
from llavit_lens.explorer.wording import escape_markdown
for number, text in enumerate({TEXTS!r}):
    with st.container(key=f"text{{number}}"):
        for show in (st.markdown, st.caption, st.error, st.warning, st.info):
            show(escape_markdown(text))
        st.button(f"Load {{escape_markdown(text)}}", key=str(number))
        st.status(f"Reading with {{escape_markdown(text)}}")
        st.markdown(f"**{{escape_markdown(text)}}**")
        st.markdown(f"… {{escape_markdown(text)}}  \\n✓ {{escape_markdown(text)}}")
"""
RENDERED = """number => [...document.querySelectorAll(
    `.st-key-text${number} [data-testid=stMarkdownContainer]`
)].map(part => [part.innerText, [...part.querySelectorAll('*')].map(e => e.tagName.toLowerCase())])
"""


def test_no_text_becomes_a_link_an_image_an_icon_or_markup(tmp_path: Path) -> None:
    script, log = tmp_path / "script.py", tmp_path / "log.txt"
    script.write_text(SCRIPT)
    shutil.copytree(EXPLORER.parent / ".streamlit", tmp_path / ".streamlit")
    with (
        explorer_server(folder=tmp_path, log=log, script=script) as address,
        open_browser() as browser,
    ):
        page = browser.new_page()
        page.set_default_timeout(MILLISECONDS)
        page.goto(address)
        page.locator(f".st-key-text{len(TEXTS) - 1} strong").wait_for()
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        page.wait_for_timeout(1000)  # a part of the renderer is loaded when it is needed
        wrong = []
        for number, text in enumerate(TEXTS):
            rendered = page.evaluate(RENDERED, number)
            assert len(rendered) >= 8
            for shown, tags in rendered:
                if text not in shown.replace(JOINER, "") or not set(tags) <= {"p", "strong", "br"}:
                    wrong.append((text, shown, tags))
    assert not wrong, json.dumps(wrong, indent=1)
