import torch
from torch import nn
from torch.nn import functional as F

from mmxattn.profiling.crosscheck import Crosscheck, crosscheck_macs


class Attend(nn.Module):

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(16, 16)

    def forward(self, query, key):
        return F.scaled_dot_product_attention(self.project(query), key, key)


class Model(nn.Module):

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.attend = Attend()

    def forward(self, image):
        tokens = self.stem(image).flatten(2).mT
        return self.attend(tokens, tokens[:, :5])


IMAGE = torch.randn(1, 3, 4, 6)
STEM, PROJECT, ATTEND = 24 * 16 * 27, 24 * 16 * 16, 24 * 5 * 32  # 24 tokens, 5 keys of 16 features
EXPECTED = {'': STEM + PROJECT + ATTEND, 'stem': STEM, 'stem.0': STEM, 'attend': PROJECT + ATTEND,
            'attend.project': PROJECT}


def crosscheck(expected):
    model = Model().eval()
    with torch.no_grad():
        return crosscheck_macs(model, lambda: model(IMAGE), expected)


def test_equal_counts_have_no_disagreements():
    assert crosscheck(EXPECTED) == Crosscheck(EXPECTED[''], [])


def test_disagreement_names_the_innermost_module():
    wrong = {**EXPECTED, '': EXPECTED[''] + 1, 'attend': EXPECTED['attend'] + 1}
    assert crosscheck(wrong).disagreements == [['attend', EXPECTED['attend'] + 1, EXPECTED['attend']]]


def test_failed_trace_is_reported():
    def fail():
        raise RuntimeError('no trace\nof me')

    assert crosscheck_macs(Model(), fail, EXPECTED) == Crosscheck(None, [], 'RuntimeError: no trace')
