"""What the commands of `llavit-lens` do, each with the checks of its arguments."""
