"""A mark for tests that draw scenes: they are skipped where the emoji font is missing."""

import pytest

from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.world.render import emoji_font_path


def _has_font() -> bool:
    try:
        emoji_font_path()
    except ConfigurationError:
        return False
    return True


needs_font = pytest.mark.skipif(not _has_font(), reason="no Noto Color Emoji font")
