"""Fast implementations of operators, as functions that take and return tensors."""
