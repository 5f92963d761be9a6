"""Questions about where words stand, answered by a language model without images."""
