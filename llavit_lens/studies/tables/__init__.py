"""Tables 1 and 3 of the paper, in miniature."""
