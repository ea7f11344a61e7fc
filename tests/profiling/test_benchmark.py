"""Benchmark of a toy model in every mode: which values are measured, not how large they are."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn

from mmxattn.profiling.benchmark import benchmark, compile_model

OPTIMIZER = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))


class ToyModel(BaseModel):
    """Model that records the dtype of its features."""

    def __init__(self, fails_in=None):
        super().__init__(dict(type='mmengine.ImgDataPreprocessor'))
        self.backbone = nn.Conv2d(3, 4, 3)
        self.bbox_head = nn.Linear(4, 2)
        self.dtypes, self.fails_in = [], fails_in

    def extract_feat(self, image):
        return self.backbone(image).mean((2, 3))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        features = self.extract_feat(inputs / 255)
        self.dtypes.append(features.dtype)
        if features.dtype == self.fails_in:
            raise RuntimeError('no such kernel\nhere')
        scores = self.bbox_head(features)
        return dict(loss=scores.square().mean()) if mode == 'loss' else scores


def batch(size):
    return dict(inputs=[torch.full((3, 8, 9), 100, dtype=torch.uint8)] * size, data_samples=[BaseDataElement()] * size)


def run(models, **options):
    tests = {size: [[batch(size)] for _ in models] for size in (1, 4)}
    return benchmark(models, [OPTIMIZER] * len(models), tests, [batch(2) for _ in models], 'cpu', turns=4, **options)


def test_benchmark_measures_everything_and_keeps_weights():
    models = [ToyModel(), ToyModel()]
    before = [model.backbone.weight.clone() for model in models]
    lines = []
    for (speed, ), model, weight in zip(run(models, log=lines.append), models, before):
        assert speed.mode == 'fp32' and speed.failure is None
        assert {size: len(seconds) for size, seconds in speed.inference.items()} == {'1': 4, '4': 4}
        assert len(speed.training_step) == 1
        assert speed.training_memory > speed.inference_memory > 3 * 8 * 9 * 4  # the image itself in float32
        assert torch.equal(model.backbone.weight, weight)
    assert lines == ['Timing fp32: inference, batch size 1', 'Timing fp32: inference, batch size 4',
                     'Timing fp32: training steps']


def test_amp_mode_uses_half_precision():
    model = ToyModel()
    (plain, mixed), = run([model], modes=('fp32', 'amp'))
    assert plain.failure is None and mixed.failure is None
    assert set(model.dtypes) == {torch.float32, torch.bfloat16}


def test_failure_in_one_model_fails_the_mode_for_all():
    first, second = run([ToyModel(), ToyModel(fails_in=torch.bfloat16)], modes=('amp', 'fp32'))
    for amp, plain in (first, second):
        assert amp.failure == 'RuntimeError: no such kernel'
        assert amp.inference == {} and amp.training_memory is None
        assert plain.failure is None and plain.inference


@pytest.mark.slow
def test_compiled_copy_computes_the_same_output():
    model = ToyModel()
    copy = compile_model(model)
    image = torch.rand(2, 3, 8, 9)
    assert torch.allclose(copy(image), model(image), atol=1e-6)
    assert copy.backbone.weight is not model.backbone.weight
    assert 'extract_feat' not in vars(model)
