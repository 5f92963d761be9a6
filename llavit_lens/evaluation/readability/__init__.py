"""How well a lens reads what is known to be there, against chance."""

UNTRAINED = " (untrained)"
"""What is added to the name of a model that has not learned anything."""
