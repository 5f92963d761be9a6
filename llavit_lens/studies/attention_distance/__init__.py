"""How far visual tokens look, by layer and head."""
