"""How the demo models are trained."""
