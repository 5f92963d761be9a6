"""The panel of the interventions: presets, and a switch with its decoder layers for each."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from llavit_lens.explorer import session
from llavit_lens.explorer.ablation import Ablation, of_link, to_link
from llavit_lens.explorer.choices import ABLATIONS, HELP, OF_PATCHES, OF_TEXT, PAIRS
from llavit_lens.explorer.offered_models import OfferedModels
from llavit_lens.explorer.presets import PRESETS, chosen_preset
from llavit_lens.explorer.view import View
from llavit_lens.explorer.wording import escape_markdown

_LAYERS = (
    "**Decoder layers count from 0**, as in the library. The slider's layers are states between "
    "them: lens layer 1 is what decoder layer 0 puts out."
)
_CUT_ALL = ("self", "causal", "bidirectional")
VOID: dict[str, tuple[str, ...]] = {
    "visual_attention": tuple(kind for kind in OF_PATCHES if kind != "visual_attention"),
    "visual->visual": _CUT_ALL,
    "self": _CUT_ALL[1:],
    "causal": _CUT_ALL[2:],
    "text->visual": ("last->visual",),
    "text->text": ("last->text",),
}
"""Interventions that change nothing in layers where the first one is on: it has cut all that they
would cut."""
_GROUPS = {"What patches read": OF_PATCHES, "What text reads": OF_TEXT}


def show_switches(view: View, depth: int, models: OfferedModels) -> View:
    """Show presets, which models are ablated, how, and in which layers.

    Args:
        view: what the page is to show.
        depth: number of decoder layers of the model.
        models: for the models' titles.

    Returns:
        The view, without decoder layers that the model does not have.
    """
    ablations = {ablation.kind: ablation for ablation in of_link(view.ablation)}
    corrected = {kind: ablation.within(depth) for kind, ablation in ablations.items()}
    faults = [kind for kind, ablation in ablations.items() if not _fits(ablation, depth)]
    if faults:
        st.warning(
            f"{escape_markdown(', '.join(faults))}: not all of these decoder layers are there. "
            f"They are 0 to {depth - 1}; here the switches have those that are."
        )
        view = session.correct(view, ablation=to_link(tuple(corrected.values())))
    chosen = tuple(corrected.values())
    with st.container(key="presets"):
        _show_presets(chosen, depth)
    with st.container(key="switches"):
        for title, kinds in _GROUPS.items():
            st.markdown(f"**{title}**")
            for kind, label in kinds.items():
                _switch(kind, label, corrected.get(kind), depth)
        for line in void_switches(chosen, depth):
            st.caption(line)
    titles = {"model": models.title(view.model), "other": models.title(view.other)}
    st.selectbox(
        "Take attention away in",
        list(PAIRS),
        key="pair",
        format_func=lambda pair: PAIRS[pair].format(**titles),
    )
    st.caption(_LAYERS)
    return view


def _show_presets(ablations: tuple[Ablation, ...], depth: int) -> None:
    """A button for each preset, and what the chosen one does."""
    chosen = chosen_preset(ablations, depth)
    for question, presets in PRESETS.items():
        st.caption(question)
        with st.container(horizontal=True, gap=None):
            for preset in presets:
                st.button(
                    preset.label,
                    key=f"preset {preset.label}",
                    help=preset.why,
                    type="primary" if preset == chosen else "secondary",
                    on_click=session.set_ablation,
                    args=((preset.ablation(depth),),),
                )
    if chosen is not None:
        st.markdown(chosen.why)
    elif ablations:
        st.markdown("Your own set of switches, below.")
    else:
        st.markdown("Nothing is switched off. Choose an experiment, or a switch below.")


def void_switches(ablations: Sequence[Ablation], depth: int) -> list[str]:
    """A sentence for each intervention that changes nothing in some of its layers, since another
    one is on there."""
    lines = []
    for weak in ablations:
        stronger = [a for a in ablations if weak.kind in VOID.get(a.kind, ())]
        void = sorted(
            {layer for a in stronger for layer in {*a.layers(depth)} & {*weak.layers(depth)}}
        )
        if not void:
            continue
        where = "" if len(void) == len(weak.layers(depth)) else " in the layers that they share"
        names = " and ".join(f"“{ABLATIONS[a.kind]}”" for a in stronger)
        lines.append(f"“{ABLATIONS[weak.kind]}” changes nothing{where}: {names} goes before it.")
    return lines


def _fits(ablation: Ablation, depth: int) -> bool:
    return ablation.first < depth and (ablation.last is None or ablation.last < depth)


def _switch(kind: str, label: str, ablation: Ablation | None, depth: int) -> None:
    switch = session.switch_key(kind)
    st.session_state[switch] = ablation is not None
    st.toggle(
        label, key=switch, help=HELP[kind], on_change=session.on_ablation_change, args=(depth,)
    )
    if ablation is None or depth == 1:
        return
    key = session.layers_key(kind, depth)
    st.session_state[key] = (ablation.first, depth - 1 if ablation.last is None else ablation.last)
    st.slider(
        f"in decoder layers, of 0 to {depth - 1}",
        0,
        depth - 1,
        key=key,
        on_change=session.on_ablation_change,
        args=(depth,),
    )
