"""What the demo models know of scenes that they were not trained on."""
