"""The text projections given back to visual tokens (Eq. 6 undone)."""
