"""What a model costs: its parameters (Table 4) and its FLOPs (Table 5), at the real sizes.

Modules are built on PyTorch's meta device, which has shapes but no memory for weights: a 14B model
is counted in a second on a laptop.
"""
