"""What is tried, each by really doing it. Run as a file, in a process of its own, by ``processes.py``.

Imports nothing of the package but what a check is for, and the toolboxes inside the checks: one that does not import,
or ends the process, is what is looked for.
"""
import inspect
import json
import os
import sys
import tempfile
from pathlib import Path

__all__ = ['CHECKS', 'Absent']


class Absent(Exception):
    """There is nothing to check on this machine; the message says what is not there."""


def need(*modules):
    """Import ``modules``; Absent where one is not installed. One that is installed and fails keeps its own error."""
    from importlib import import_module
    from importlib.util import find_spec
    for module in modules:
        if find_spec(module) is None:
            raise Absent(f'{module} is not installed')
    return [import_module(module) for module in modules]


def need_cuda():
    torch, = need('torch')
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        raise Absent(f'built for {built}, but no GPU is seen' if built else 'this torch is built for the CPU alone')
    return torch


def check_torch():
    torch, = need('torch')
    if torch.ones(2, 3).matmul(torch.ones(3, 2)).tolist() != [[3., 3.], [3., 3.]]:
        raise RuntimeError('torch multiplies matrices wrongly')
    return f'{torch.__version__}, {torch.get_num_threads()} threads'


def check_torch_numpy():
    torch, numpy = need('torch', 'numpy')
    torch.from_numpy(numpy.zeros(2)).numpy()
    return f'torch and NumPy {numpy.__version__} exchange arrays'


def check_cuda():
    torch = need_cuda()
    x = torch.ones(8, 8, device='cuda')
    if (x @ x).sum().item() != 512:
        raise RuntimeError('the GPU multiplies matrices wrongly')
    return f'{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, {torch.cuda.device_count()} GPU(s)'


def check_triton():
    torch = need_cuda()
    triton, = need('triton')
    compiled = torch.compile(lambda x: (x * 2).sin() + 1)  # on a GPU its kernels are Triton's
    x = torch.rand(1000, device='cuda')
    torch.testing.assert_close(compiled(x), (x * 2).sin() + 1)
    return f'{triton.__version__} compiles for the GPU'


def check_torchvision():
    torch, torchvision = need('torch', 'torchvision')
    try:
        torchvision.ops.nms(torch.tensor([[0., 0., 1., 1.]]), torch.ones(1), 0.5)
    except (RuntimeError, NotImplementedError):
        return f'{torchvision.__version__} without its compiled operators; mmpretrain and timm do without'
    return f'{torchvision.__version__} with its compiled operators'


def kept_boxes(device):
    torch, ops = need('torch', 'mmcv.ops')
    boxes = torch.tensor([[0., 0., 10., 10.], [0., 0., 10., 9.], [20., 20., 30., 30.]], device=device)
    kept = ops.nms(boxes, torch.tensor([.9, .8, .7], device=device), 0.5)[1].tolist()
    if kept != [0, 2]:
        raise RuntimeError(f'nms keeps the boxes {kept}, not [0, 2]')
    return 'mmcv.ops.nms keeps the right boxes'


def check_mmcv_cpu():
    need('mmcv')
    return kept_boxes('cpu')


def check_mmcv_cuda():
    need('mmcv')
    need_cuda()
    return kept_boxes('cuda')


def check_mmdet():
    mmdet, _ = need('mmdet', 'mmdet.models')
    return f'{mmdet.__version__} imports'


def check_mmseg():
    mmseg, _ = need('mmseg', 'mmseg.models')
    return f'{mmseg.__version__} imports'


def check_mmpretrain():
    mmpretrain, _ = need('mmpretrain', 'mmpretrain.models')
    return f'{mmpretrain.__version__} imports'


def check_layers():
    torch, layers = need('torch', 'mmxattn.layers')
    low, high = torch.randn(2, 1, 32, 8, 8)
    aligned = layers.FINE(32)(layers.SCSA(32)(low), high[..., :4, :4])
    if not aligned.isfinite().all():
        raise RuntimeError('a layer gives numbers that are not finite')
    return 'SCSA and FINE run'


def check_numba():
    torch, numba, layers = need('torch', 'numba', 'mmxattn.layers')
    from ...ops.scsa import fused_scsa, without_kernels
    layer, x = layers.SCSA(32).eval(), torch.randn(2, 32, 14, 14)
    with torch.no_grad():
        y = fused_scsa(layer, x)
        if y is None:
            raise Absent('PyTorch\'s threads are not GCC\'s; SCSA is made of its operators')
        with without_kernels():
            torch.testing.assert_close(y, layer(x))
    return f'{numba.__version__} compiles SCSA\'s loops for the CPU'


def check_components():
    need('mmengine', 'mmcv', 'mmxattn')
    from mmengine.registry import MODELS
    parts = ('FINEFPN', 'CFSAMNeck', 'SCSA', 'CLASegformerHead')
    missing = [part for part in parts if MODELS.get(f'mmxattn.{part}') is None]
    if missing:
        raise RuntimeError(f'not registered: {", ".join(missing)}')
    return f'{", ".join(parts)} are registered'


def check_onnx():
    torch, onnx, _, runtime, layers = need('torch', 'onnx', 'onnxscript', 'onnxruntime', 'mmxattn.layers')
    if 'dynamo' not in inspect.signature(torch.onnx.export).parameters:
        raise Absent(f'torch {torch.__version__} lacks the dynamo exporter, which came with 2.5')
    layer, x = layers.SCSA(32).eval(), torch.randn(1, 32, 14, 14)
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / 'scsa.onnx')
        torch.onnx.export(layer, (x,), file, dynamo=True, verbose=False)
        session = runtime.InferenceSession(file, providers=['CPUExecutionProvider'])
        y = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(y), layer(x).detach(), rtol=1e-4, atol=1e-4)
    return f'onnx {onnx.__version__} and onnxruntime {runtime.__version__} give SCSA\'s numbers'


def check_mim():
    need('mim')
    from mim.utils import get_installed_path
    root = Path(get_installed_path('mmxattn'))
    for found in (root / '.mim' / 'tools', root / 'tools'):  # as mim does; an editable install has the second
        if (found / 'doctor.py').is_file():
            return f'finds the tools of mmxattn in {found}'
    raise RuntimeError(f'it looks for the tools of mmxattn in {root}')


# What is known of versions, see faults.py: each passes where the fault does no harm.

def check_checkpoint_types():
    torch, _, _ = need('torch', 'mmengine', 'mmxattn')
    from mmengine.logging import MessageHub
    hub = MessageHub('doctor')
    hub.update_scalar('loss', 0.5)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(dict(message_hub=hub.state_dict()), Path(folder) / 'checkpoint.pth')
        torch.load(Path(folder) / 'checkpoint.pth', weights_only=True)


def check_ssd_predicts():
    need('mmdet', 'mmxattn')
    from mmdet.models import SSDHead
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = SSDHead(num_classes=3, in_channels=(8, 8), anchor_generator=dict(
            type='SSDAnchorGenerator', scale_major=False, input_size=64, strides=[8, 16], ratios=([2], [2]),
            min_sizes=[10, 20], max_sizes=[20, 40]))
    assert hasattr(head, 'loss_cls'), 'SSDHead has no loss_cls'


def check_frozen_stages():
    need('mmdet', 'mmxattn')
    from mmdet.models import ResNet
    resnet = ResNet(50, base_channels=8, frozen_stages=1, plugins=[
        dict(cfg=dict(type='mmxattn.SCSA'), position='after_conv2')])
    resnet.train()
    frozen = [name for name, own in resnet.layer1.named_parameters() if 'scsa' in name and not own.requires_grad]
    assert not frozen, f'frozen at their random start: {frozen[0]} and {len(frozen) - 1} more'


def check_chain_of_necks():
    need('mmdet', 'mmxattn')
    from mmdet.registry import MODELS
    fpn = dict(type='mmdet.FPN', in_channels=[8, 8], out_channels=8, num_outs=2)
    chain = [fpn, dict(type='mmxattn.CFSAMNeck', in_channels=[8, 8], channels=16, num_heads=1)]
    missing = MODELS.build(chain).load_state_dict(MODELS.build(fpn).state_dict(), strict=False).missing_keys
    assert not any(key.startswith('0.') for key in missing), 'the keys of a lone neck do not reach the chain'


def check_single_value_norm():
    torch, layers, baselines = need('torch', 'mmxattn.layers', 'mmxattn.layers.baselines')
    layers.CFSAM([8], channels=16, num_heads=1).train()([torch.randn(1, 8, 1, 1)])
    baselines.MobileViTBlock(8, 16).train()(torch.randn(1, 8, 1, 1))
    for size in ((1, 1), (1, 5), (5, 1)):
        layers.SCSA(8, norm='BN').train()(torch.randn(1, 8, *size))


def check_pkg_resources():
    need('mmengine')
    import pkg_resources  # noqa: F401


def check_chained_plugins():
    need('torch', 'mmseg')
    import torch
    from mmseg.models.backbones.resnet import Bottleneck
    block = Bottleneck(8, 2)
    block.one, block.other = torch.nn.Hardtanh(0, 1), torch.nn.Hardtanh(0, 2)
    y = block.forward_plugin(torch.full((1, 8, 1, 1), 3.), ['one', 'other'])
    assert y.max() == 1, 'the second plugin is given what the first was given'


def check_base_of_mmseg():
    need('mmengine', 'mmseg')
    from mmengine.config import Config
    Config.fromstring("_base_ = 'mmseg::_base_/schedules/schedule_20k.py'", '.py')


def check_launcher_without_gpu():
    torch, dist = need('torch', 'mmengine.dist')
    if torch.cuda.is_available():
        raise Absent('there is a GPU')
    os.environ.update(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT='0')
    dist.init_dist('pytorch', backend='gloo')
    torch.distributed.destroy_process_group()


def check_train_returns_the_model():
    need('mmdet')
    from mmdet.models import ResNet
    assert ResNet(18, base_channels=8).train() is not None, 'it returns None'


def check_digit_version():
    need('mmdet')
    from mmdet import digit_version, version_info  # noqa: F401


def check_attention_counted():
    need('torch', 'mmengine')
    import torch
    from mmengine.analysis import FlopAnalyzer

    class Attention(torch.nn.Module):

        def forward(self, x):
            return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    count = FlopAnalyzer(Attention(), torch.randn(1, 1, 4, 8)).unsupported_ops_warnings(False).total()
    assert count > 0, 'it counts 0 for it'


def check_checkpoints_stay_protected():
    torch, _, _ = need('torch', 'mmengine', 'mmxattn')
    from mmengine.runner.checkpoint import load_from_local
    with tempfile.TemporaryDirectory() as folder:
        torch.save(Innocent(), Path(folder) / 'other.pth')
        try:
            load_from_local(str(Path(folder) / 'other.pth'), 'cpu')
        except Exception:
            return
    raise RuntimeError('a checkpoint called a function while it was loaded')


class Innocent:
    """Calls a harmless function when it is unpickled."""

    def __reduce__(self):
        return os.path.basename, ('called',)


def check_toolbox_versions():
    for toolbox in ('mmdet', 'mmseg'):
        need('mmcv', toolbox)


def check_mim_options():
    need('mim')
    from click.testing import CliRunner
    from mim.commands.run import cli
    result = CliRunner().invoke(cli, ['--help'])
    if result.exit_code:
        raise RuntimeError(f'mim run --help ends with {result.exception!r}')


CHECKS = {name.removeprefix('check_'): own for name, own in list(globals().items()) if name.startswith('check_')}


def result_of(name):
    """What a check comes to: [name, 'works' | 'absent' | 'fails', a sentence]."""
    try:
        return name, 'works', CHECKS[name]() or ''
    except Absent as absent:
        return name, 'absent', str(absent)
    except BaseException as error:  # SystemExit too: nothing that a toolbox does may pass for an answer
        return name, 'fails', f'{type(error).__name__}: {str(error).strip()}'.partition('\n')[0]


def main(names):
    """Tell each result as a line of JSON. Whatever else is printed goes to the error output."""
    sys.path[:1] = []  # this file's folder: its neighbours have plain names
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    for name in names:
        print(json.dumps(result_of(name)), file=answers, flush=True)


if __name__ == '__main__':
    main(sys.argv[1:])
