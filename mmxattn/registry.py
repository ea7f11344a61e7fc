"""mmxattn's registries, one for each kind of component that it adds.

A component is found as ``mmxattn.NAME`` from any config, for mmengine imports this file when it meets the scope
``mmxattn``; and as ``NAME`` alone, under any default scope, once ``custom_imports = dict(imports=['mmxattn'])`` has
imported the package.
"""
import inspect

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import Registry

from .utils.arguments import tell_arguments

__all__ = ['DATASETS', 'DATA_SAMPLERS', 'HOOKS', 'LOOPS', 'METRICS', 'MODELS']


class PluginRegistry(Registry):
    """A registry whose members its parent knows as well.

    mmengine looks a name without scope up from the toolbox's registry (mmdet's, say) towards the root, never
    sideways: only what stands in the root registry is found under every default scope.
    """

    def register_module(self, name=None, force=False, module=None):
        """Register ``module`` here and in the parent; arguments and use are those of mmengine's Registry.

        A class tells from then on which argument of a config it does not take.
        """
        if module is None:
            return lambda cls: self.register_module(name, force, cls)
        if inspect.isclass(module):
            tell_arguments(module)
        super().register_module(name, force, module)
        self.parent.register_module(name, force, module)
        return module


MODELS = PluginRegistry('model', parent=MMENGINE_MODELS, scope='mmxattn', locations=['mmxattn.models'])
DATASETS = PluginRegistry('dataset', parent=MMENGINE_DATASETS, scope='mmxattn', locations=['mmxattn.datasets'])
METRICS = PluginRegistry('metric', parent=MMENGINE_METRICS, scope='mmxattn', locations=['mmxattn.evaluation'])
DATA_SAMPLERS = PluginRegistry('data sampler', parent=MMENGINE_DATA_SAMPLERS, scope='mmxattn',
                               locations=['mmxattn.engine'])
HOOKS = PluginRegistry('hook', parent=MMENGINE_HOOKS, scope='mmxattn', locations=['mmxattn.engine'])
LOOPS = PluginRegistry('loop', parent=MMENGINE_LOOPS, scope='mmxattn', locations=['mmxattn.engine'])
