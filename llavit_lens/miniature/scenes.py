"""The place of `llavit_lens.miniature.world.scenes` in version 0.1; goes with the next one."""

import warnings

from llavit_lens.miniature.world.scenes import *  # noqa: F403

warnings.warn(
    "llavit_lens.miniature.scenes is now llavit_lens.miniature.world.scenes",
    DeprecationWarning,
    stacklevel=2,
)
