import pytest

from mmxattn.comparison.result import Candidate, Comparison, Run, labels
from mmxattn.comparison.training import Training


def comparison(*names):
    return Comparison([Candidate(name, f'{name}.py', name) for name in names], (160, 200), {}, 16)


@pytest.mark.parametrize('names, expected', [
    (['r18_fpn_digits', 'r18_fine-fpn_digits'], ['fpn', 'fine-fpn']),
    (['b0_digits', 'b0_cla_digits'], ['stock', 'cla']),
    (['b0_cla_digits', 'b0_digits'], ['b0_cla_digits', 'b0_digits']),
    (['same', 'same'], ['same (1)', 'same (2)']),
    (['a_1', 'a_2', 'b_2'], ['a_1', 'a_2', 'b_2']),
])
def test_columns_are_named_by_what_differs(names, expected):
    assert labels(comparison(*names)) == expected


def test_written_and_read_it_is_the_same(tmp_path):
    result = comparison('a', 'b')
    result.candidates[0].runs = [Run(3, 'x.pth', Training({'coco/bbox_mAP_50': 0.5, 'mIoU': 60.0}, 61.5, 100, 'x.pth'))]
    result.save(tmp_path / 'report.json')
    assert Comparison.load(tmp_path / 'report.json') == result
    assert result.candidates[0].runs[0].metrics == dict(AP50=0.5, mIoU=60.0)
