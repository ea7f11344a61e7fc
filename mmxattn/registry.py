"""Registries of mmxattn, one per kind of component.

In a config, ``mmxattn.NAME`` refers to a component without any import. After
``custom_imports = dict(imports=['mmxattn'])``, ``NAME`` alone works under any default scope.
"""
from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import Registry

__all__ = ['DATASETS', 'DATA_SAMPLERS', 'HOOKS', 'LOOPS', 'METRICS', 'MODELS']


class SharedRegistry(Registry):
    """Registry that also registers its modules in its parent.

    mmengine looks up an unscoped name in the registry of the default scope (mmdet, for example) and in its parents,
    but not in sibling registries, so only modules in the root registry are found under every default scope.
    """

    def register_module(self, name=None, force=False, module=None):
        """Register a module here and in the parent. See :meth:`mmengine.Registry.register_module` for arguments."""
        if module is None:
            return lambda cls: self.register_module(name, force, cls)
        super().register_module(name, force, module)
        self.parent.register_module(name, force, module)
        return module


MODELS = SharedRegistry('model', parent=MMENGINE_MODELS, scope='mmxattn', locations=['mmxattn.models'])
DATASETS = SharedRegistry('dataset', parent=MMENGINE_DATASETS, scope='mmxattn', locations=['mmxattn.datasets'])
METRICS = SharedRegistry('metric', parent=MMENGINE_METRICS, scope='mmxattn', locations=['mmxattn.evaluation'])
DATA_SAMPLERS = SharedRegistry(
    'data sampler', parent=MMENGINE_DATA_SAMPLERS, scope='mmxattn', locations=['mmxattn.engine'])
HOOKS = SharedRegistry('hook', parent=MMENGINE_HOOKS, scope='mmxattn', locations=['mmxattn.engine'])
LOOPS = SharedRegistry('loop', parent=MMENGINE_LOOPS, scope='mmxattn', locations=['mmxattn.engine'])
