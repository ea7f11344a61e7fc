"""Timing a toy model in every mode: what is measured, not how long it takes."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn

from mmxattn.profiling.benchmark import benchmark, compiled

OPTIMIZER = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))


class Toy(BaseModel):
    """Takes down the type of its features."""

    def __init__(self, fails_in=None):
        super().__init__(dict(type='mmengine.ImgDataPreprocessor'))
        self.backbone = nn.Conv2d(3, 4, 3)
        self.bbox_head = nn.Linear(4, 2)
        self.seen, self.fails_in = [], fails_in

    def extract_feat(self, image):
        return self.backbone(image).mean((2, 3))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        features = self.extract_feat(inputs / 255)
        self.seen.append(features.dtype)
        if features.dtype == self.fails_in:
            raise RuntimeError('no such kernel\nhere')
        scores = self.bbox_head(features)
        return dict(loss=scores.square().mean()) if mode == 'loss' else scores


def batch(size):
    return dict(inputs=[torch.full((3, 8, 9), 100, dtype=torch.uint8)] * size, data_samples=[BaseDataElement()] * size)


def timed(models, **options):
    tests = {size: [[batch(size)] for _ in models] for size in (1, 4)}
    return benchmark(models, [OPTIMIZER] * len(models), tests, [batch(2) for _ in models], 'cpu', turns=4, **options)


def test_everything_is_measured_and_no_weight_moves():
    models = [Toy(), Toy()]
    before = [model.backbone.weight.clone() for model in models]
    said = []
    for (speed, ), model, weight in zip(timed(models, say=said.append), models, before):
        assert speed.mode == 'fp32' and speed.failure is None
        assert {size: len(seconds) for size, seconds in speed.inference.items()} == {'1': 4, '4': 4}
        assert len(speed.training_step) == 1
        assert speed.training_memory > speed.inference_memory > 3 * 8 * 9 * 4  # the image itself as float32
        assert torch.equal(model.backbone.weight, weight)
    assert said == ['Timing fp32: inference, 1 at a time', 'Timing fp32: inference, 4 at a time',
                    'Timing fp32: training steps']


def test_amp_is_in_half_precision():
    model = Toy()
    (plain, mixed), = timed([model], modes=('fp32', 'amp'))
    assert plain.failure is None and mixed.failure is None
    assert set(model.seen) == {torch.float32, torch.bfloat16}


def test_a_mode_in_which_one_fails_is_given_up_for_all():
    first, second = timed([Toy(), Toy(fails_in=torch.bfloat16)], modes=('amp', 'fp32'))
    for amp, plain in (first, second):
        assert amp.failure == 'RuntimeError: no such kernel'
        assert amp.inference == {} and amp.training_memory is None
        assert plain.failure is None and plain.inference


@pytest.mark.slow
def test_the_compiled_copy_computes_the_same():
    model = Toy()
    copy = compiled(model)
    image = torch.rand(2, 3, 8, 9)
    assert torch.allclose(copy(image), model(image), atol=1e-6)
    assert copy.backbone.weight is not model.backbone.weight
    assert 'extract_feat' not in vars(model)
