import json

import pytest

from mmxattn.comparison.result import Comparison, RecipeResult, Run, short_names
from mmxattn.comparison.training import Training


def comparison(*names):
    baseline, *candidates = (RecipeResult(name, f'{name}.py', name) for name in names)
    return Comparison(baseline, candidates, (160, 200), {}, 16)


@pytest.mark.parametrize('names, expected', [
    (['r18_fpn_digits', 'r18_fine-fpn_digits'], ['fpn', 'fine-fpn']),
    (['b0_digits', 'b0_cla_digits'], ['baseline', 'cla']),
    (['b0_cla_digits', 'b0_digits'], ['b0_cla_digits', 'b0_digits']),
    (['same', 'same'], ['same (1)', 'same (2)']),
    (['a_1', 'a_2', 'b_2'], ['a_1', 'a_2', 'b_2']),
])
def test_short_names_omit_shared_words(names, expected):
    assert short_names(comparison(*names)) == expected


def test_json_round_trip(tmp_path):
    result, path = comparison('a', 'b'), tmp_path / 'report.json'
    result.baseline.runs = [Run(3, 'x.pth', Training({'coco/bbox_mAP_50': 0.5, 'mIoU': 60.0}, 61.5, 100, 'x.pth'))]
    result.save(path)
    assert Comparison.load(path) == result
    assert result.baseline.runs[0].metrics == {'AP50': 0.5, 'mIoU': 60.0}


def test_other_format_version_is_rejected(tmp_path):
    path = tmp_path / 'report.json'
    comparison('a', 'b').save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), 'format_version': 1}))
    with pytest.raises(ValueError, match='must be a report of format version'):
        Comparison.load(path)
