"""Changes to a forward pass: what is cut, swapped or restored inside the model."""
