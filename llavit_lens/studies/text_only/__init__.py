"""What a model still knows without an image."""
