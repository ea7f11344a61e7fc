"""Comparison with arrays of the authors' implementations."""
from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).parents[1] / 'data'


def assert_agrees_with_reference(module, name, num_inputs, tolerance=1e-5, parameter_tolerance=1e-5):
    """Compare the outputs and all gradients of ``module`` with a file of arrays in tests/data."""
    arrays = {key: torch.from_numpy(value) for key, value in np.load(DATA / name).items()}
    module.load_state_dict({key[6:]: value for key, value in arrays.items() if key.startswith('param.')})
    module.eval()
    inputs = [arrays[f'x{i}'].requires_grad_() for i in range(num_inputs)]
    out = module(*inputs)
    (out * arrays['grad_y']).sum().backward()
    assert relative_error(out, arrays['y']) < tolerance
    for i, x in enumerate(inputs):
        assert relative_error(x.grad, arrays[f'grad_x{i}']) < tolerance
    for key, parameter in module.named_parameters():
        assert relative_error(parameter.grad, arrays[f'grad.{key}']) < parameter_tolerance, key


def relative_error(a, b):
    """Norm of the difference over the norm of ``b``."""
    return ((a - b).norm() / b.norm()).item()
