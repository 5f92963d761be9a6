"""How well a lens reads what labelled images show, against chance."""

UNTRAINED = " (untrained)"
"""What is added to the name of a model that has not learned anything."""
