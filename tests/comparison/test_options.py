import pytest

from mmxattn.comparison.options import Plan


@pytest.mark.parametrize('plan, number, told', [
    (Plan(), 1, 'two or more config files.*got 1'),
    (Plan(checkpoints=('a.pth', 'b.pth'), train=True), 2, 'take one of the two'),
    (Plan(checkpoints=('a.pth', )), 2, '2 config files and 1 checkpoints'),
    (Plan(checkpoints=('a.pth', 'b.pth')), 2, 'no checkpoint a.pth'),
    (Plan(batch_sizes=(4, 0)), 2, 'batch_sizes is 0: take 1 or more'),
    (Plan(turns=0), 2, 'turns is 0'),
    (Plan(resamples=-1), 2, 'resamples is -1'),
    (Plan(train=True, seeds=()), 2, 'seeds is empty'),
    (Plan(train=True, seeds=(0, -1)), 2, 'seeds is -1: take 0 or more'),
    (Plan(train=True, seeds=(3, 3)), 2, 'seed occurs twice'),
    (Plan(budget=0), 2, 'budget is 0'),
    (Plan(modes=('fp32', 'int3')), 2, "no mode 'int3': take of fp32, amp, compile"),
])
def test_a_plan_that_cannot_be(plan, number, told):
    with pytest.raises(ValueError, match=told):
        plan.check(number)


def test_a_plan_that_can(tmp_path):
    (tmp_path / 'a.pth').touch()
    assert Plan(checkpoints=(tmp_path / 'a.pth', ) * 3, modes=()).check(3) is None
