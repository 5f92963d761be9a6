"""How well a lens reads what is known to be there, against chance."""
