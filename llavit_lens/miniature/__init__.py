"""The demo world: emoji scenes with the truth of every patch, and the recipe of the demo models."""
