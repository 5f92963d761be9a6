"""Corpora of images: read with a lens into Parquet files, and searched."""
