import pytest

from mmxattn.analysis.plan import Plan


@pytest.mark.parametrize('plan, number, told', [
    (Plan(), 1, 'two or more config files.*got 1'),
    (Plan(checkpoints=('a.pth', 'b.pth'), train=True), 2, 'take one of the two'),
    (Plan(checkpoints=('a.pth', )), 2, '2 config files and 1 checkpoints'),
    (Plan(checkpoints=('a.pth', 'b.pth')), 2, 'no checkpoint a.pth'),
    (Plan(modes=('fp32', 'int3')), 2, "no mode 'int3': take of fp32, amp, compile"),
])
def test_a_plan_that_cannot_be(plan, number, told):
    with pytest.raises(ValueError, match=told):
        plan.check(number)


def test_a_plan_that_can(tmp_path):
    (tmp_path / 'a.pth').touch()
    Plan(checkpoints=(tmp_path / 'a.pth', ) * 3, modes=()).check(3)
