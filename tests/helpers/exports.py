"""Exported programs through the ONNX exporter to onnxruntime."""
import pytest
import torch

# what runtimes read in another way than PyTorch, have not, or do one element at a time
UNWANTED = {'InstanceNormalization', 'GroupNormalization', 'SplitToSequence', 'SequenceAt', 'ConcatFromSequence', 'If',
            'Loop', 'ScatterElements', 'ScatterND'}


def through_onnx(program):
    """A program of ``torch.export``, none of its operators unwanted, as a function of tensors to a list of tensors."""
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
