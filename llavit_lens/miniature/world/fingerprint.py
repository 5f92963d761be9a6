"""One number for the world as it is: scenes, captions and questions.

Results are comparable only if they are of one world. The result files of the miniature study carry
this number, and a test pins it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random

from llavit_lens.miniature.world.captions import caption
from llavit_lens.miniature.world.questions import questions
from llavit_lens.miniature.world.scenes import sample_scene


@functools.cache
def world_fingerprint(scenes: int = 500) -> str:
    """16 hexadecimal digits of the first scenes and of their captions and questions."""
    digest = hashlib.sha256()
    for seed in range(scenes):
        scene, rng = sample_scene(seed), random.Random(f"fingerprint {seed}")
        record = [scene.to_dict(), caption(scene, rng), questions(scene, rng)]
        digest.update(json.dumps(record).encode())
    return digest.hexdigest()[:16]
