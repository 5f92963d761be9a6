"""What commands and scripts do: load models, compute, print, draw, save. A subject in each file."""
