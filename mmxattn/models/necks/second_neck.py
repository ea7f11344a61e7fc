"""Necks that follow another neck in a list: ``neck=[dict(type='FPN', ...), dict(type='CFSAMNeck', ...)]``."""
import functools

from mmengine.model import BaseModule, Sequential

__all__ = ['SecondNeck']


class SecondNeck(BaseModule):
    """Base class of necks that follow another neck.

    Checkpoints of a recipe with only the first neck can be loaded: mmengine builds a list of necks as a Sequential, and
    the keys ``neck.x`` of the checkpoint are mapped to ``neck.0.x``.
    """


def load_single_neck(load):
    """Wrap ``Sequential._load_from_state_dict`` to map the keys of a single neck to those of the first of two."""

    @functools.wraps(load)
    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        if len(self) == 2 and isinstance(self[1], SecondNeck):
            keys = [key for key in state_dict if key.startswith(prefix)]
            if not any(key[len(prefix):].split('.')[0] in ('0', '1') for key in keys):
                for key in keys:
                    state_dict[f'{prefix}0.{key[len(prefix):]}'] = state_dict.pop(key)
        return load(self, state_dict, prefix, *args, **kwargs)

    return _load_from_state_dict


Sequential._load_from_state_dict = load_single_neck(Sequential._load_from_state_dict)
