"""LLaViT in other people's tools: TransformerLens here, nnsight in docs/recipes/nnsight.md."""
