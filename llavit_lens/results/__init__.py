"""What a lens, an experiment or a score returns: plain data that can be saved and drawn."""
