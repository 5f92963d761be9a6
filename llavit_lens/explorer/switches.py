"""The switches of the interventions, each with its decoder layers."""

from __future__ import annotations

import streamlit as st

from llavit_lens.explorer import state
from llavit_lens.explorer.ablation import Ablation, of_link, to_link
from llavit_lens.explorer.choices import OF_PATCHES, OF_TEXT, PAIRS, Offer
from llavit_lens.explorer.plain import plain
from llavit_lens.explorer.view import View

_LAYERS = (
    "**Decoder layers count from 0**, as in the library. They are not the lens' layers, those of "
    "the slider above the picture: lens layer 0 is the projector's output, before any decoder "
    "layer, and lens layer 1 is what decoder layer 0 puts out."
)
_COLUMNS = {"What patches read": OF_PATCHES, "What text reads": OF_TEXT}


def show_switches(view: View, depth: int, offer: Offer) -> None:
    """Which models, which interventions, in which layers; what is chosen lies in the session.

    Args:
        view: what is asked for.
        depth: decoder layers of the model.
        offer: for the models' titles.
    """
    titles = {"model": offer.title(view.model), "other": offer.title(view.other)}
    st.selectbox(
        "Take attention away in",
        list(PAIRS),
        key="pair",
        format_func=lambda pair: PAIRS[pair].format(**titles),
    )
    ablations = {ablation.kind: ablation for ablation in of_link(view.ablation)}
    corrected = {kind: ablation.within(depth) for kind, ablation in ablations.items()}
    faults = [kind for kind, ablation in ablations.items() if not _fits(ablation, depth)]
    if faults:
        st.warning(
            f"{plain(', '.join(faults))}: not all of these decoder layers are there. They are 0 to "
            f"{depth - 1}; here the switches have those that are."
        )
        st.session_state["ablation"] = to_link(tuple(corrected.values()))
    with st.container(key="switches", border=True):
        for column, (title, kinds) in zip(st.columns(2), _COLUMNS.items(), strict=True):
            with column:
                st.markdown(f"**{title}**")
                for kind, label in kinds.items():
                    _switch(kind, label, corrected.get(kind), depth)
        st.caption(_LAYERS)
        if corrected:
            calls = ", ".join(ablation.code(depth) for ablation in corrected.values())
            with st.expander("The same in Python"):
                st.code(f"with {calls}:\n    vlm.generate(picture, question)", language="python")


def _fits(ablation: Ablation, depth: int) -> bool:
    return ablation.first < depth and (ablation.last is None or ablation.last < depth)


def _switch(kind: str, label: str, ablation: Ablation | None, depth: int) -> None:
    on = state.switch_key(kind)
    st.session_state[on] = ablation is not None
    st.toggle(label, key=on, on_change=state.take_switches, args=(depth,))
    if ablation is None or depth == 1:
        return
    key = state.layers_key(kind, depth)
    st.session_state[key] = (ablation.first, depth - 1 if ablation.last is None else ablation.last)
    st.slider(
        f"in decoder layers, of 0 to {depth - 1}",
        0,
        depth - 1,
        key=key,
        format="decoder layer %d",
        on_change=state.take_switches,
        args=(depth,),
    )
