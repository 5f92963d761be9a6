"""The place of `llavit_lens.miniature.world.fingerprint` in version 0.1; goes with the next one."""

import warnings

from llavit_lens.miniature.world.fingerprint import *  # noqa: F403

warnings.warn(
    "llavit_lens.miniature.fingerprint is now llavit_lens.miniature.world.fingerprint",
    DeprecationWarning,
    stacklevel=2,
)
