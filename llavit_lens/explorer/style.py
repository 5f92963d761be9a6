"""The page's style sheet: how Streamlit's parts are arranged around the view."""

from __future__ import annotations

_HEIGHTS = {"look": 23.5, "compare": 26, "ablate": 27.5}
"""For each mode what the window holds beside the image: rem, in a window of normal width."""

_STYLE = """
.stMainBlockContainer { padding: 0.7rem 1.6rem 3rem; max-width: 120rem; }
.stMainBlockContainer > .stVerticalBlock { gap: 0.5rem; }
.stMainBlockContainer h3 { font-size: 1.25rem; padding: 0.8rem 0 0.2rem; }
.st-key-explorer_moving { display: none; }  /* it only carries data */
header.stAppHeader { background: none; pointer-events: none; }
header.stAppHeader button { pointer-events: auto; }

/* head: name, mode, help */
.st-key-head { gap: 0.35rem; }
.st-key-title { gap: 0.5rem 1rem; flex-wrap: wrap; }
.st-key-title > :first-child { flex: 1 1 24rem; min-width: 0; }
.llavit-title { display: flex; align-items: baseline; gap: 0.6rem; white-space: nowrap; }
.llavit-title b { font-size: 1rem; font-weight: 600; opacity: 0.75; }
.llavit-title h1 { font-size: 1.3rem; font-weight: 650; padding: 0; margin: 0; white-space: normal; }
.llavit-logo {
  align-self: center; width: 1.15rem; height: 1.15rem; border-radius: 0.25rem; flex: none;
  background: conic-gradient(#fcffa4 25%, #ed6925 0 50%, #1b0c41 0 75%, #9f2a63 0);
}

/* questions: labels beside their boxes */
.st-key-questions.stVerticalBlock { gap: 0.3rem; }
.st-key-suggestions [data-testid="stCaptionContainer"] { margin: 0; }
.st-key-questions .stTextInput { display: flex; flex-direction: row; align-items: center; gap: 0.6rem; }
.st-key-questions .stTextInput > label { margin: 0; min-height: 0; flex: none; }
.st-key-questions .stTextInput > label + div { flex: 1; min-width: 0; }
.st-key-questions [data-testid="stTextInputRootElement"] { min-height: 0; height: 2.2rem; }

.st-key-suggestions { gap: 0 0.6rem; }
.st-key-suggestions button { min-height: 0; padding: 0.05rem 0.6rem; }
.st-key-suggestions button p { font-size: 0.8rem; }

/* answers: as high as short ones need; long ones scroll */
.st-key-answers .stVerticalBlock { gap: 0.15rem; }
.st-key-answers .stColumn .stVerticalBlock .stVerticalBlock { padding: 0.3rem 0.7rem 0.4rem; }
.st-key-answers [data-testid="stCaptionContainer"] { margin: 0; }
.st-key-answers [data-testid="stCaptionContainer"] p {
  font-size: 0.78rem; margin: 0; white-space: nowrap; overflow: hidden; text-overflow: ellipsis;
}
.st-key-answers [data-testid="stText"] {
  font-size: 0.9rem; line-height: 1.35; max-height: max(4.05em, 14vh); overflow-y: auto;
}
.st-key-answers .stMarkdown > div > div { margin: 0; }
.st-key-answers .stColumn [data-testid="stMarkdownContainer"] p {
  font-size: 0.9rem; line-height: 1.45; max-height: max(4.35em, 14vh); overflow-y: auto; margin: 0;
}
.st-key-effects .stMarkdown { border-left: 3px solid var(--st-primary-color, #0072b2); padding: 0 0.7rem; }
.st-key-effects [data-testid="stMarkdownContainer"] { margin: 0; }
.st-key-effects p { font-size: 0.9rem; margin: 0; }

/* left side: a dense column */
.stSidebar [data-testid="stSidebarContent"] { padding-left: 0.5rem; padding-right: 0.5rem; }
.stSidebar [data-testid="stSidebarHeader"] { height: 2.2rem; padding-top: 0.3rem; padding-bottom: 0; margin-bottom: 0; }
.stSidebar [data-testid="stSidebarUserContent"] { padding: 0 0 2rem; }
.stSidebar .stVerticalBlock { gap: 0.5rem; }
.stSidebar .stExpander details { border: none; background: none; }
.stSidebar .stExpander summary { padding: 0.1rem 0; min-height: 0; background: none; }
.stSidebar .stExpander summary p { font-weight: 600; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.stSidebar [data-testid="stExpanderDetails"] { padding: 0.2rem 0 0.4rem; }
.stSidebar [data-testid="stCaptionContainer"] p { font-size: 0.78rem; line-height: 1.4; }

/* interventions */
.st-key-interventions { border-top: 1px solid var(--st-border-color, rgba(128, 128, 128, 0.3)); padding-top: 0.5rem; }
.st-key-interventions [data-testid="stMarkdownContainer"],
.st-key-interventions [data-testid="stCaptionContainer"] { margin: 0; }
.st-key-interventions .stMarkdown p { font-size: 0.8rem; line-height: 1.35; margin: 0; }
.stSidebar .st-key-presets, .stSidebar .st-key-switches { gap: 0.15rem; }
.st-key-presets .stHorizontalBlock { gap: 0.3rem; margin-bottom: 0.25rem; }
.st-key-presets .stButton button { min-height: 0; padding: 0.1rem 0.6rem; border-radius: 1rem; }
.st-key-presets .stButton button p { font-size: 0.8rem; }
.st-key-switches .stCheckbox label { min-height: 0; padding: 0; }
.st-key-switches .stCheckbox p { font-size: 0.8rem; line-height: 1.25; }
.st-key-switches .stSlider label { min-height: 0; margin: 0; }
.st-key-switches .stSlider label p { font-size: 0.75rem; opacity: 0.7; }

@media (max-width: 640px) {
  :root { --llavit-top: 3.75rem; }  /* Streamlit's own header; the layer slider stops below it */
  header.stAppHeader { background: var(--st-background-color); }
  .stMainBlockContainer { padding: 3.5rem 0.8rem 3rem; }
  .st-key-title { gap: 0.4rem; }
  .llavit-title { flex-wrap: wrap; gap: 0 0.5rem; }
  .llavit-title h1 { font-size: 1.1rem; flex-basis: 100%; }
  .st-key-title button { padding: 0.2rem 0.5rem; }
  [data-testid="stExpandSidebarButton"]::after { content: "Image, model, switches"; margin-left: 0.4rem; }
  /* the images and what changed in them first, then questions and answers */
  .stMainBlockContainer > .stVerticalBlock > :has(> .st-key-head) { order: -3; }
  .stMainBlockContainer > .stVerticalBlock > :has(> .st-key-effects) { order: -2; }
  .stMainBlockContainer > .stVerticalBlock > :has(> .st-key-view) { order: -1; }
}
"""


def css(mode: str) -> str:
    """The style sheet, as an element of HTML: a constant for each mode, so that no text of a user
    or a model is ever shown as HTML."""
    height = f":root {{ --llavit-image-height: calc(100vh - {_HEIGHTS[mode]}rem); }}"
    if mode == "ablate":  # the room is for the effects
        height += " .st-key-explorer_about { display: none; }"
    return f"<style>{_STYLE}\n@media (min-width: 641px) {{ {height} }}</style>"
