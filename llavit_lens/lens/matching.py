"""Old place of `llavit_lens.results.matching`; it goes with the next version."""

from llavit_lens.results.matching import matched_layer as matched_layer
from llavit_lens.results.matching import partners as partners
