"""The models that the page offers, and what people may see of their names."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from llavit_lens.disk import user_path
from llavit_lens.errors import CheckpointError
from llavit_lens.inputs import DEMO_PREFIX, demo_folders, is_demo, is_hub_name

_TITLES = {
    "demo:baseline": "LLaVA baseline",
    "demo:llavit": "LLaViT",
    "demo:no_visual_attention": "LLaVA baseline without visual attention",
}
_SHORT_TITLES = _TITLES | {"demo:no_visual_attention": "LLaVA, no visual attention"}
"""Those that fit the list of the page's left side."""
_FOLDERS = re.compile(
    r"""
    (?: (?<! [\w./\\…] ) (?! (?<=:) //\w ) | file:(?://[\w.-]*)? )  # not in a/b or a web address
    (?: (?: ~[\w.-]* | \.{1,2} )? / | [A-Za-z]:[\\/] | \\\\ )  # /, ~/, ~name/, ../, C:\ and \\name
    (?! \s )
    (?: (?: (?! :\s ) [^/\\] )* [/\\] )+  # up to the last slash before ": "
    """,
    re.VERBOSE,
)
"""The folders of a path. Their names may hold any sign, also blanks: better to hide a word too many
than a folder too few."""


def demo_models() -> list[str]:
    """The names of the demo models, as `load` takes them."""
    return [f"{DEMO_PREFIX}{name}" for name in sorted(demo_folders())]


def model_title(name: str) -> str:
    """A model's name as people read it."""
    return f"{_TITLES[name]} ({name})" if name in _TITLES else name


@dataclass(frozen=True)
class OfferedModels:
    """The models that the page offers.

    A public page only shows the last part of a folder's path. The rest is neither on the page nor
    in a link, and a link cannot name any other folder.

    Attributes:
        names: as `load` takes them.
        public: whether the page is for everybody, so that nothing else can be loaded.
    """

    names: tuple[str, ...]
    public: bool = False

    def title(self, name: str) -> str:
        """A model as people read it."""
        return model_title(self.to_link(name))

    def short_title(self, name: str) -> str:
        """A model in a narrow list: a demo model by its title alone."""
        return _SHORT_TITLES.get(name, self.to_link(name))

    def to_link(self, name: str) -> str:
        """A model as a link names it."""
        return self._public_names.get(name, name) if self.public else name

    def of_link(self, text: str) -> str | None:
        """The model that a link names; None if the page does not offer it."""
        return {self.to_link(name): name for name in self.names}.get(text)

    def without_paths(self, message: str) -> str:
        """An error as people may see it: on a public page without the folders of this machine."""
        if not self.public:
            return message
        for name, public_name in self._public_names.items():
            if name != public_name:
                for path in (*map(str, _paths(name)), name.rstrip("/\\")):
                    if re.search(r"[/\\]", path):  # else it names no folder: `.` is everywhere
                        message = message.replace(path, public_name)
        return _FOLDERS.sub("…/", message)

    @cached_property
    def _public_names(self) -> dict[str, str]:
        public: dict[str, str] = {}
        for name in self.names:
            paths = _paths(name)
            last = paths[0].name or name if paths else name
            same = sum(last in (other, other.rpartition(" #")[0]) for other in public.values())
            public[name] = f"{last} #{same + 1}" if same else last
        return public


class OfferedIndexes(OfferedModels):
    """The indexes of corpora that the page offers; for their names the same holds."""

    @property
    def first(self) -> str | None:
        """What is searched where no index is chosen."""
        return self.names[0] if self.names else None


def _paths(name: str) -> list[Path]:
    """Paths of a model that is a folder, whether it exists or not; in the first one links are
    followed.

    Empty for a demo model and for a name on the Hub.
    """
    if is_demo(name):
        return []
    with suppress(CheckpointError):
        path = user_path(name, error=CheckpointError)
        return [path.resolve(), path] if path.is_dir() or not is_hub_name(name) else []
    return [Path(name)]  # no folder can have this name
