import torch
from torch import nn
from torch.nn import functional as F

from mmxattn.profiling.crosscheck import SecondCount, second_count


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
RIGHT = {'': STEM + PROJECT + ATTEND, 'stem': STEM, 'stem.0': STEM, 'attend': PROJECT + ATTEND,
         'attend.project': PROJECT}


def count(first):
    model = Model().eval()
    with torch.no_grad():
        return second_count(model, lambda: model(IMAGE), first)


def test_agreement():
    assert count(RIGHT) == SecondCount(RIGHT[''], [])


def test_the_innermost_module_that_disagrees_is_named():
    wrong = {**RIGHT, '': RIGHT[''] + 1, 'attend': RIGHT['attend'] + 1}
    assert count(wrong).disagreements == [['attend', RIGHT['attend'] + 1, RIGHT['attend']]]


def test_a_model_that_cannot_be_traced():
    def refuse():
        raise RuntimeError('no trace\nof me')
    result = second_count(Model(), refuse, RIGHT)
    assert result == SecondCount(None, [], 'RuntimeError: no trace')
