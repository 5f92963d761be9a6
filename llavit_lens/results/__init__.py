"""What lenses, interventions and measures return: plain data that can be saved and drawn."""
