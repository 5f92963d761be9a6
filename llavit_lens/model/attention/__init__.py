"""Attention of LLaViT: masks (Eq. 8), separate projections (Eq. 6), skipped updates (Eq. 5)."""
