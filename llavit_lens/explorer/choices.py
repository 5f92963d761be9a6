"""The choices of the page, each with the words that a user reads."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from llavit_lens.disk import user_path
from llavit_lens.errors import CheckpointError
from llavit_lens.inputs import DEMO_PREFIX, demo_folders, is_demo, is_hub_name

MODES = {
    "look": "One model",
    "compare": "Compare two",
    "ablate": "Ablate",
}

COLORS = {
    "probability": "probability of the top word",
    "entropy": "certainty",
    "word": "the searched word",
    "difference": "where two models differ",
}

SCALES = {
    "": "as suits the color",
    "fixed": "the same for all layers",
    "layer": "fitted to the layer",
    "log": "logarithmic",
}

LABELS = {
    "": "as the patches are many or few",
    "each": "a word on each patch",
    "merged": "one word for neighbors that have the same",
    "off": "no words",
}

OF_PATCHES = {
    "visual_attention": "No visual attention (Eq. 5)",
    "visual->visual": "Patches see no patches, not even themselves",
    "self": "Patches see themselves, but no other patches",
    "visual->text": "Patches do not see the text",
    "causal": "Patches see only patches before them",
    "bidirectional": "Patches see all patches (Eq. 8)",
}
OF_TEXT = {
    "text->visual": "Text does not see the patches",
    "last->visual": "The last token does not see the patches",
    "text->text": "Text does not see text, not even itself",
    "last->text": "The last token does not see the text, not even itself",
}
ABLATIONS = OF_PATCHES | OF_TEXT
"""Interventions by the names that llavit_lens.interventions gives them: those that change what
patches read, which changes their words, and those that change what text reads alone."""

PAIRS = {
    "one": "{model}: before and after",
    "model": "both models; words of {model}, before and after",
    "other": "both models; words of {other}, before and after",
    "after": "both models; words of both, after",
}
"""Which models are ablated, and of which the words are shown."""

_TITLES = {
    "demo:baseline": "LLaVA baseline",
    "demo:llavit": "LLaViT",
    "demo:no_visual_attention": "LLaVA baseline without visual attention",
}
_FOLDERS = re.compile(
    r"""
    (?: (?<! [\w./\\…] ) (?! (?<=:) //\w ) | file:(?://[\w.-]*)? )  # not in a/b or a web address
    (?: (?: ~[\w.-]* | \.{1,2} )? / | [A-Za-z]:[\\/] | \\\\ )  # /, ~/, ~name/, ../, C:\ and \\name
    (?! \s )
    (?: (?: (?! :\s ) [^/\\] )* [/\\] )+  # up to the last slash before ": "
    """,
    re.VERBOSE,
)
"""A path's folders. Their names may hold any sign, blanks too: rather a word too many is hidden."""


def demo_models() -> list[str]:
    """`vlm.load.demo_names`, without PyTorch, which that module needs: the page opens before it."""
    return [f"{DEMO_PREFIX}{name}" for name in sorted(demo_folders())]


def model_title(name: str) -> str:
    """A model's name as people read it."""
    return f"{_TITLES[name]} ({name})" if name in _TITLES else name


@dataclass(frozen=True)
class Offer:
    """The models that the page offers.

    The public knows a folder by its own name alone: where it lies stands neither on the page nor in
    a link, and a link cannot name any other folder.

    Attributes:
        names: as `load` takes them.
        public: whether the page is for everybody, so that nothing else can be loaded.
    """

    names: tuple[str, ...]
    public: bool = False

    def title(self, name: str) -> str:
        """A model as people read it."""
        return model_title(self.to_link(name))

    def to_link(self, name: str) -> str:
        """A model as a link names it."""
        return self._public_names.get(name, name) if self.public else name

    def of_link(self, text: str) -> str | None:
        """The model that a link names; None if the page does not offer it."""
        named = {self.to_link(name): name for name in self.names}
        return named.get(text)

    def without_paths(self, message: str) -> str:
        """An error as it may be shown: to the public without the folders of this machine."""
        if not self.public:
            return message
        for name, shown in self._public_names.items():
            if name != shown:
                for path in (*map(str, _places(name)), name.rstrip("/\\")):
                    if re.search(r"[/\\]", path):  # else it tells no folder, and `.` is everywhere
                        message = message.replace(path, shown)
        return _FOLDERS.sub("…/", message)

    @cached_property
    def _public_names(self) -> dict[str, str]:
        shown: dict[str, str] = {}
        for name in self.names:
            places = _places(name)
            own = places[0].name or name if places else name
            same = sum(own == other.rpartition(" #")[0] or own == other for other in shown.values())
            shown[name] = f"{own} #{same + 1}" if same else own
        return shown


def _places(name: str) -> list[Path]:
    """Paths of a model that is a folder, be it there or not, links followed in the first.

    None for a demo model and a name on the Hub.
    """
    if is_demo(name):
        return []
    with suppress(CheckpointError):
        path = user_path(name, error=CheckpointError)
        return [path.resolve(), path] if path.is_dir() or not is_hub_name(name) else []
    return [Path(name)]  # no folder can have this name
