"""The view as a widget, through which a click comes back to Python."""

from __future__ import annotations

import json
from typing import Any

from anywidget import AnyWidget
from traitlets import Dict, Int, List

from llavit_lens.viewer.document import static
from llavit_lens.viewer.page import SCRIPTS


def module() -> str:
    """The view as one ES module, for anywidget: nothing is fetched."""
    style = json.dumps(static("notebook.css", "style.css"))
    return f"const STYLE = {style};\n{static(*SCRIPTS, 'widget.js')}"


class ViewWidget(AnyWidget):
    """The view of a running notebook.

    Attributes:
        view: the words and where the view starts, for the browser.
        height: in CSS pixels.
        selected: layer, row, column and tile of the pinned patch, or None; it changes with clicks.
    """

    _esm = module()
    view: Any = Dict().tag(sync=True)
    height: Any = Int(640).tag(sync=True)
    selected: Any = List(Int(), default_value=None, allow_none=True, minlen=4, maxlen=4).tag(
        sync=True
    )
