import pickle

import pytest
import torch
from mmdet.models.dense_heads import SSDHead
from mmengine.logging import HistoryBuffer, MessageHub

from mmxattn import patches as compat


def test_checkpoints_that_training_writes_load(tmp_path):
    """With the protection of weights_only on: what mmengine stores beside the weights is allowed, no more."""
    hub = MessageHub('training')
    hub.update_scalar('train/loss', torch.tensor(0.5))
    hub.update_scalar('train/lr', 0.1, count=3)
    hub.update_info('iter', 7)
    torch.save(dict(state_dict=dict(w=torch.ones(2)), message_hub=hub.state_dict()), tmp_path / 'iter_7.pth')
    loaded = torch.load(tmp_path / 'iter_7.pth', weights_only=True)
    buffer = loaded['message_hub']['log_scalars']['train/loss']
    assert isinstance(buffer, HistoryBuffer)
    assert buffer.mean() == 0.5 and buffer.current() == 0.5


class Innocent:

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


def test_what_training_does_not_write_is_refused(tmp_path):
    torch.save(dict(x=Innocent()), tmp_path / 'other.pth')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'other.pth', weights_only=True)


@pytest.mark.parametrize('owner, name', [(HistoryBuffer, '__init__'), (dict, 'mean'), (HistoryBuffer, 'update')])
def test_getattr_reaches_the_statistics_alone(owner, name):
    with pytest.raises(pickle.UnpicklingError, match=name):
        compat.history_buffer_method(owner, name)


def test_ssd_head_has_a_loss_cls_that_a_subclass_may_replace():

    class Own(SSDHead):

        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.loss_cls = torch.nn.CrossEntropyLoss()

    arguments = dict(num_classes=3, in_channels=(8, 8), anchor_generator=dict(
        type='SSDAnchorGenerator', scale_major=False, input_size=64, strides=[8, 16], ratios=([2], [2]),
        min_sizes=[10, 20], max_sizes=[20, 40]))
    assert SSDHead(**arguments).loss_cls is None
    assert isinstance(Own(**arguments).loss_cls, torch.nn.CrossEntropyLoss)
