import io

import pytest

from mmxattn.analysis.comparison import Candidate, Comparison
from mmxattn.analysis.complexity import Complexity
from mmxattn.analysis.table import labels, print_table
from mmxattn.analysis.training import Training


def candidate(name, parameters, metrics, scale):
    return Candidate(
        name, f'{name}.py', name, complexity=Complexity(parameters, parameters, 1000 * parameters, (160, 200)),
        training=Training(metrics, 61.4 * scale, 100, 'x.pth'),
        inference=[scale * seconds for seconds in (0.010, 0.030, 0.020)], training_step=[0.5 * scale])


def comparison(*candidates):
    return Comparison(list(candidates), (160, 200), 3, 16, dict(torch='2.x', device='cpu'))


def rows(result):
    file = io.StringIO()
    print_table(result, file)
    lines = [[cell.strip() for cell in line.strip('│┃').replace('┃', '│').split('│')]
             for line in file.getvalue().splitlines()]
    return {line[0]: line[1:] for line in lines if len(line) == len(result.candidates) + 1}, file.getvalue()


def test_a_detectors_table():
    first = {'coco/bbox_mAP': 0.5, 'coco/bbox_mAP_50': 0.7, 'coco/bbox_mAP_s': -1.0}
    second = {'coco/bbox_mAP': 0.512, 'coco/bbox_mAP_50': 0.69, 'coco/bbox_mAP_s': -1.0}
    table, text = rows(comparison(candidate('rcnn_fpn_digits', 2_000_000, first, 1),
                                  candidate('rcnn_fine-fpn_digits', 2_500_000, second, 2)))
    assert table[''] == ['fpn', 'fine-fpn']
    assert table['Parameters (M)'] == ['2.000', '2.500 (+0.500)']
    assert table['MACs (G) at 160x200'] == ['2.000', '2.500 (+0.500)']
    assert table['AP'] == ['0.500', '0.512 (+0.012)']
    assert table['AP50'] == ['0.700', '0.690 (-0.010)']
    assert table['AP_S'] == ['-', '-']
    assert table['Training time'] == ['1 min 01 s', '2 min 03 s']
    assert table['Training step, batch 16 (ms)'] == ['500.0', '1000.0 (x2.00, 2.00 to 2.00)']
    assert table['Inference, one image (ms)'] == ['20.0', '40.0 (x2.00, 2.00 to 2.00)']
    assert 'One seed (3): differences of accuracy are not significant.' in text
    assert '(1 of a training step, 3 of inference)' in text and 'torch 2.x' in text


def test_a_segmentors_table_is_in_percent():
    table, _ = rows(comparison(candidate('a', 1, {'aAcc': 90.0, 'mIoU': 61.25}, 1),
                               candidate('b', 1, {'aAcc': 91.0, 'mIoU': 62.5}, 1)))
    assert table['mIoU'] == ['61.2', '62.5 (+1.2)']


@pytest.mark.parametrize('names, expected', [
    (['r18_fpn_digits', 'r18_fine-fpn_digits'], ['fpn', 'fine-fpn']),
    (['b0_digits', 'b0_cla_digits'], ['stock', 'cla']),
    (['b0_cla_digits', 'b0_digits'], ['b0_cla_digits', 'b0_digits']),
    (['same', 'same'], ['same', 'same']),
    (['a_1', 'a_2', 'b_2'], ['a_1', 'a_2', 'b_2']),
])
def test_columns_are_named_by_what_differs(names, expected):
    assert labels(comparison(*(candidate(name, 1, {}, 1) for name in names))) == expected
