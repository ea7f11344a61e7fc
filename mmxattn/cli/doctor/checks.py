"""Checks of an installation, each of which runs the component that it checks.

``runner.py`` runs this file as a script in a separate process. It imports only those parts of the package that a check
tests, and toolboxes only inside the checks, since importing them may fail or crash.
"""
import inspect
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ['CHECKS', 'Skip', 'run_check']

class Skip(Exception):
    """Raised by checks that do not apply to this machine."""


def require(*modules: str) -> list[Any]:
    """Import modules. Raise Skip if one is not installed; errors during its import are propagated."""
    from importlib import import_module
    from importlib.util import find_spec
    for module in modules:
        if find_spec(module) is None:
            raise Skip(f'{module} is not installed')
    return [import_module(module) for module in modules]


def require_cuda() -> Any:
    torch, = require('torch')
    if not torch.cuda.is_available():
        build = torch.version.cuda or torch.version.hip
        raise Skip(f'no GPU found (torch is built for {build})' if build else 'torch is a CPU build')
    return torch


def check_torch() -> str:
    torch, = require('torch')
    if torch.ones(2, 3).matmul(torch.ones(3, 2)).tolist() != [[3., 3.], [3., 3.]]:
        raise RuntimeError('wrong result of a matrix product')
    return f'{torch.__version__}, {torch.get_num_threads()} threads'


def check_torch_numpy() -> str:
    torch, numpy = require('torch', 'numpy')
    torch.from_numpy(numpy.zeros(2)).numpy()
    return f'{numpy.__version__} shares arrays with torch'


def check_layers() -> str:
    torch, layers = require('torch', 'mmxattn.layers')
    low, high = torch.randn(2, 1, 32, 8, 8)
    aligned = layers.FINE(32)(layers.SCSA(32)(low), high[..., :4, :4])
    if not aligned.isfinite().all():
        raise RuntimeError('a layer returns values that are not finite')
    return 'SCSA and FINE run'


def check_numba() -> str:
    numba, = require('numba')
    if numba.njit(lambda x: x + 1)(1) != 2:
        raise RuntimeError('wrong result of a compiled function')
    return f'{numba.__version__} compiles'


def check_cuda() -> str:
    torch = require_cuda()
    x = torch.ones(8, 8, device='cuda')
    if (x @ x).sum().item() != 512:
        raise RuntimeError('wrong result of a matrix product on the GPU')
    return f'{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, {torch.cuda.device_count()} GPU(s)'


def check_triton() -> str:
    torch = require_cuda()
    triton, = require('triton')
    compiled = torch.compile(lambda x: (x * 2).sin() + 1)  # Triton kernels on a GPU
    x = torch.rand(1000, device='cuda')
    torch.testing.assert_close(compiled(x), (x * 2).sin() + 1)
    return f'{triton.__version__} compiles'


def check_torchvision() -> str:
    torch, torchvision = require('torch', 'torchvision')
    try:
        torchvision.ops.nms(torch.tensor([[0., 0., 1., 1.]]), torch.ones(1), 0.5)
    except (RuntimeError, NotImplementedError):
        return f'{torchvision.__version__} without compiled operators, which mmpretrain and timm do not need'
    return f'{torchvision.__version__} with compiled operators'


def run_nms(device: str) -> str:
    torch, ops = require('torch', 'mmcv.ops')
    boxes = torch.tensor([[0., 0., 10., 10.], [0., 0., 10., 9.], [20., 20., 30., 30.]], device=device)
    kept = ops.nms(boxes, torch.tensor([.9, .8, .7], device=device), 0.5)[1].tolist()
    if kept != [0, 2]:
        raise RuntimeError(f'nms keeps boxes {kept}, expected [0, 2]')
    return 'mmcv.ops.nms works'


def check_mmcv_cpu() -> str:
    require('mmcv')
    return run_nms('cpu')


def check_mmcv_cuda() -> str:
    require('mmcv')
    require_cuda()
    return run_nms('cuda')


def import_toolbox(name: str) -> str:
    toolbox, _ = require(name, f'{name}.models')
    return f'{toolbox.__version__} can be imported'


def check_mmdet() -> str:
    return import_toolbox('mmdet')


def check_mmseg() -> str:
    return import_toolbox('mmseg')


def check_mmpretrain() -> str:
    return import_toolbox('mmpretrain')


def check_components() -> str:
    require('mmengine', 'mmcv', 'mmxattn')
    from mmengine.registry import MODELS
    components = ('FINEFPN', 'CFSAMNeck', 'SCSA', 'CLASegformerHead')
    missing = [name for name in components if MODELS.get(f'mmxattn.{name}') is None]
    if missing:
        raise RuntimeError(f'not registered: {", ".join(missing)}')
    return f'{", ".join(components)} are registered'


def check_onnx() -> str:
    torch, onnx, _, runtime, layers = require('torch', 'onnx', 'onnxscript', 'onnxruntime', 'mmxattn.layers')
    if 'dynamo' not in inspect.signature(torch.onnx.export).parameters:
        raise Skip(f'torch {torch.__version__} has no dynamo exporter (added in 2.5)')
    layer, x = layers.SCSA(32).eval(), torch.randn(1, 32, 14, 14)
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / 'scsa.onnx')
        torch.onnx.export(layer, (x,), file, dynamo=True, verbose=False)
        session = runtime.InferenceSession(file, providers=['CPUExecutionProvider'])
        y = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(y), layer(x).detach(), rtol=1e-4, atol=1e-4)
    return f'SCSA exported with onnx {onnx.__version__} runs in onnxruntime {runtime.__version__}'


def check_mim() -> str:
    require('mim')
    from mim.utils import get_installed_path
    root = Path(get_installed_path('mmxattn'))
    for folder in (root / '.mim' / 'tools', root / 'tools'):  # wheels, editable installs
        if (folder / 'doctor.py').is_file():
            return f'finds the tools of mmxattn in {folder}'
    raise RuntimeError(f'mim expects the tools of mmxattn in {root}, but they are not there')


def check_mim_options() -> None:
    require('mim')
    from click.testing import CliRunner
    from mim.commands.run import cli
    result = CliRunner().invoke(cli, ['--help'])
    if result.exit_code:
        raise RuntimeError(f'mim run --help raises {result.exception!r}')


# Checks of known_issues.py pass if the issue has no effect.

def check_pkg_resources() -> None:
    require('mmengine')
    import pkg_resources  # noqa: F401


def check_checkpoint_types() -> None:
    torch, _, _ = require('torch', 'mmengine', 'mmxattn')
    from mmengine.logging import MessageHub
    hub = MessageHub('doctor')
    hub.update_scalar('loss', 0.5)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(dict(message_hub=hub.state_dict()), Path(folder) / 'checkpoint.pth')
        torch.load(Path(folder) / 'checkpoint.pth', weights_only=True)


class CallOnLoad:
    """Object that calls a harmless function when unpickled."""

    def __reduce__(self) -> tuple:
        return os.path.basename, ('called',)


def check_safe_loading() -> None:
    torch, _, _ = require('torch', 'mmengine', 'mmxattn')
    from mmengine.runner.checkpoint import load_from_local
    with tempfile.TemporaryDirectory() as folder:
        torch.save(CallOnLoad(), Path(folder) / 'other.pth')
        try:
            load_from_local(str(Path(folder) / 'other.pth'), 'cpu')
        except Exception:
            return
    raise RuntimeError('a checkpoint called a function while it was loaded')


def check_ssd_predicts() -> None:
    require('mmdet', 'mmxattn')
    from mmdet.models import SSDHead
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = SSDHead(num_classes=3, in_channels=(8, 8), anchor_generator=dict(
            type='SSDAnchorGenerator', scale_major=False, input_size=64, strides=[8, 16], ratios=([2], [2]),
            min_sizes=[10, 20], max_sizes=[20, 40]))
    assert hasattr(head, 'loss_cls'), 'SSDHead has no loss_cls'


def check_frozen_stages() -> None:
    require('mmdet', 'mmxattn')
    from mmdet.models import ResNet
    resnet = ResNet(50, base_channels=8, frozen_stages=1, plugins=[
        dict(cfg=dict(type='mmxattn.SCSA'), position='after_conv2')])
    resnet.train()
    frozen = [name for name, p in resnet.layer1.named_parameters() if 'scsa' in name and not p.requires_grad]
    assert not frozen, f'{len(frozen)} new parameters are frozen, such as {frozen[0]}'


def check_neck_list() -> None:
    require('mmdet', 'mmxattn')
    from mmdet.registry import MODELS
    fpn = dict(type='mmdet.FPN', in_channels=[8, 8], out_channels=8, num_outs=2)
    necks = [fpn, dict(type='mmxattn.CFSAMNeck', in_channels=[8, 8], channels=16, num_heads=1)]
    missing = MODELS.build(necks).load_state_dict(MODELS.build(fpn).state_dict(), strict=False).missing_keys
    assert not any(key.startswith('0.') for key in missing), 'the weights of a single neck are not loaded'


def check_single_value_norm() -> None:
    torch, layers, baselines = require('torch', 'mmxattn.layers', 'mmxattn.layers.baselines')
    layers.CFSAM([8], channels=16, num_heads=1).train()([torch.randn(1, 8, 1, 1)])
    baselines.MobileViTBlock(8, 16).train()(torch.randn(1, 8, 1, 1))
    layers.SCSA(8, norm='BN').train()(torch.randn(1, 8, 1, 1))


def check_chained_plugins() -> None:
    torch, _ = require('torch', 'mmseg')
    from mmseg.models.backbones.resnet import Bottleneck
    block = Bottleneck(8, 2)
    block.first, block.second = torch.nn.Hardtanh(0, 1), torch.nn.Hardtanh(0, 2)
    y = block.forward_plugin(torch.full((1, 8, 1, 1), 3.), ['first', 'second'])
    assert y.max() == 1, 'the second plugin gets the input of the first'


def check_mmseg_base() -> None:
    require('mmengine', 'mmseg')
    from mmengine.config import Config
    Config.fromstring("_base_ = 'mmseg::_base_/schedules/schedule_20k.py'", '.py')


# A check returns a message and raises if it fails.
CHECKS: dict[str, Callable[[], str | None]] = {
    name.removeprefix('check_'): function for name, function in list(globals().items()) if name.startswith('check_')}


def run_check(name: str) -> tuple[str, str, str]:
    """Run a check.

    Args:
        name: Key of CHECKS.

    Returns:
        The name, the state ('passed', 'skipped' or 'failed') and a message.
    """
    try:
        return name, 'passed', CHECKS[name]() or ''
    except Skip as skip:
        return name, 'skipped', str(skip)
    except BaseException as error:  # including SystemExit of a toolbox
        return name, 'failed', f'{type(error).__name__}: {str(error).strip()}'.partition('\n')[0]


def main(names: Sequence[str]) -> None:
    """Run checks and print each result as a line of JSON. Everything else goes to stderr."""
    sys.path[:1] = []  # the folder of this file, whose modules have common names
    output = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    for name in names:
        print(json.dumps(run_check(name)), file=output, flush=True)


if __name__ == '__main__':
    main(sys.argv[1:])
