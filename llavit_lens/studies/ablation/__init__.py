"""Visual attention switched off in a window of layers (Eq. 5): what is lost."""
