"""How well a lens reads and a model answers, measured against known truth."""
