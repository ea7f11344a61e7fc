import pytest

from mmxattn.comparison import CompareOptions


@pytest.mark.parametrize('options, num_configs, message', [
    (CompareOptions(), 1, 'two or more config files.*got 1'),
    (CompareOptions(checkpoints=('a.pth', 'b.pth'), train=True), 2, 'give one of the two'),
    (CompareOptions(checkpoints=('a.pth', )), 2, '2 config files need 2 checkpoints, got 1'),
    (CompareOptions(checkpoints=('a.pth', 'b.pth')), 2, 'no checkpoint a.pth'),
    (CompareOptions(batch_sizes=(4, 0)), 2, 'batch_sizes must be 1 or more, got 0'),
    (CompareOptions(turns=0), 2, 'turns must be 1 or more, got 0'),
    (CompareOptions(resamples=-1), 2, 'resamples must be 1 or more, got -1'),
    (CompareOptions(train=True, seeds=()), 2, 'seeds must have at least one value'),
    (CompareOptions(train=True, seeds=(0, -1)), 2, 'seeds must be 0 or more, got -1'),
    (CompareOptions(train=True, seeds=(3, 3)), 2, 'seeds must differ'),
    (CompareOptions(budget=0), 2, 'budget must be more than 0 seconds, got 0'),
    (CompareOptions(modes=('fp32', 'int3')), 2, "modes must be among fp32, amp, compile; got 'int3'"),
])
def test_invalid_options_are_rejected(options, num_configs, message):
    with pytest.raises(ValueError, match=message):
        options.validate(num_configs)


def test_valid_options_are_accepted(tmp_path):
    checkpoint = tmp_path / 'a.pth'
    checkpoint.touch()
    CompareOptions(checkpoints=(checkpoint, ) * 3, modes=()).validate(3)
    CompareOptions().validate(2)
