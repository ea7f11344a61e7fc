"""Exported programs in ONNX Runtime."""
import pytest
import torch

# operators that runtimes compute differently from PyTorch, do not support, or run one element at a time
UNWANTED = {'InstanceNormalization', 'GroupNormalization', 'SplitToSequence', 'SequenceAt', 'ConcatFromSequence', 'If',
            'Loop', 'ScatterElements', 'ScatterND'}


def through_onnx(program):
    """Convert a program of ``torch.export`` to a function from tensors to a list; unwanted operators fail the test."""
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    exported = torch.onnx.export(program, dynamo=True, verbose=False)
    unwanted = UNWANTED.intersection(node.op_type for node in exported.model.graph)
    assert not unwanted, unwanted
    session = onnxruntime.InferenceSession(exported.model_proto.SerializeToString(), providers=['CPUExecutionProvider'])
    names = [x.name for x in session.get_inputs()]

    def run(*inputs):
        return [torch.from_numpy(out) for out in session.run(None, dict(zip(names, (x.numpy() for x in inputs))))]

    return run
