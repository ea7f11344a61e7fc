"""Fast implementations of operations: tensors in, tensors out."""
