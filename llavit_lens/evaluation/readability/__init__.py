"""How well a lens reads what labelled images show, against chance."""
