"""The paper's two-stage recipe on transformers' Trainer, and the data formats that it reads."""
