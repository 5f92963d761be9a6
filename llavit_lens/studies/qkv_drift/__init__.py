"""How far the visual QKV projections have moved from the text ones."""
