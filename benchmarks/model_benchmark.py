"""What each part adds to the model around it: the model with the part against the stock one, timed in turns.

What many small operators add depends on the machine more than on the part. So with SCSA a third model takes its turn,
with the part in the literal form of its paper: the share of what that one adds is the part's own merit.

All have the same weights, and where the work after the model depends on its output (boxes to keep), the part starts as
the identity, so that all find the same.
"""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.optim import build_optim_wrapper

from mmxattn import __path__ as PACKAGE
from mmxattn import layers
from mmxattn.profiling import timing as speed
from mmxattn.profiling.benchmark import LEAST
from mmxattn.profiling.complexity import count_macs
from mmxattn.profiling.inputs import made_batch
from mmxattn.utils.config import load_config, build_untrained_model

from .layer_benchmark import literal


@dataclass(frozen=True)
class Host:
    """A stock model, and how the part gets into it.

    Attributes:
        part: The part's name.
        title: Host and sizes, for people.
        stock: The stock config: a toolbox, and a path among its configs.
        ours: The config with the part, among this package's.
        options: Dotted config keys and values for the latter.
        shape: Height and width in pixels of the images.
        batch_size: Images.
        features: Time the backbone alone.
        training: Time a training step too.
        literal: A type of layer, and a function of the layer and its inputs that is its literal form; of inference.
    """

    part: str
    title: str
    stock: tuple
    ours: str
    options: dict = field(default_factory=dict)
    shape: tuple = (800, 1333)
    batch_size: int = 1
    features: bool = False
    training: bool = True
    literal: tuple = None


FASTER_RCNN = ('mmdet', 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')
SCSA = dict(stock=FASTER_RCNN, ours='scsa/faster-rcnn_r50-scsa_fpn_1x_coco.py', features=True, training=False,
            literal=(layers.SCSA, literal.scsa))
HOSTS = [
    Host('SCSA', 'ResNet-50, 224x224, 8 images', shape=(224, 224), batch_size=8, **SCSA),
    Host('SCSA', 'ResNet-50, 224x224, 32 images', shape=(224, 224), batch_size=32, **SCSA),
    Host('SCSA', 'ResNet-50, 800x1344', shape=(800, 1344), **SCSA),
    Host('FINE', 'Faster R-CNN R50-FPN, 800x1333', FASTER_RCNN, 'fine/faster-rcnn_r50_fine-fpn_1x_coco.py',
         {'model.neck.zero_init': True}),
    Host('CFSAM', 'SSD300-VGG16', ('mmdet', 'ssd/ssd300_coco.py'), 'cfsam/ssd300_cfsam_coco.py',
         {'model.neck.1.residual': True, 'model.neck.1.zero_init': True}, shape=(300, 300)),
    *(Host('CLA', f'SegFormer-B0, 512x512, patch_size={size}',
           ('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'),
           'cla/segformer_mit-b0_cla_8xb2-160k_ade20k-512x512.py', {'model.decode_head.patch_size': size},
           shape=(512, 512)) for size in (1, 2, 4, 8)),
]


@dataclass
class Added:
    """What a part added to a host in one pass.

    Attributes:
        part, title: The host's.
        training: Whether the pass is a training step; else it is inference.
        stock, ours: Seconds of a call, one a turn.
        macs: Multiply-adds of inference, of the stock model and of ours.
        literal: Seconds with the part in its literal form; None where that was not timed.
    """

    part: str
    title: str
    training: bool
    stock: list
    ours: list
    macs: tuple
    literal: list = None

    @property
    def ratio(self):
        """Spread: how many times as long as the stock model ours takes."""
        return speed.ratio(self.ours, self.stock)

    @property
    def literal_ratio(self):
        """Spread: how many times as long as the stock model the one with the literal form takes; None without it."""
        return speed.ratio(self.literal, self.stock) if self.literal else None

    @property
    def between(self):
        """Where the median ratio lies, with 95% confidence."""
        return speed.median_interval([ours / stock for ours, stock in zip(self.ours, self.stock)])

    def to_dict(self):
        """Everything, as :mod:`json` takes it."""
        literal_ratio = self.literal_ratio and vars(self.literal_ratio)
        return dict(vars(self), ratio=vars(self.ratio), between=self.between, literal_ratio=literal_ratio)


def select(only=''):
    """The hosts that have a text in their part or title.

    Args:
        only (str): The text; of any case.

    Returns:
        list[Host]: In their order.

    Raises:
        ValueError: There is none.
    """
    found = [host for host in HOSTS if only.lower() in f'{host.part} {host.title}'.lower()]
    if not found:
        there = '\n  '.join(f'{host.part} {host.title}' for host in HOSTS)
        raise ValueError(f'No host has {only!r} in its name; these are there:\n  {there}')
    return found


def bench_hosts(hosts, device='cpu', turns=40, budget=120, say=None, calls=1):
    """Time hosts with and without their part.

    Args:
        hosts (Sequence[Host]): What to time.
        device (str): 'cuda' or 'cpu'.
        turns (int): How often inference is timed; a training step half as often.
        budget (float): Seconds after which a timing ends early, once it has five turns.
        say (Callable[[str], object], optional): Told what is timed next.
        calls (int): How often a model is called in a turn, one call after another. A GPU begins each turn idle: with
            one call every launch counts, with many it is kept busy.

    Yields:
        Added: One a host and a pass, as soon as it is there.

    Raises:
        ValueError: Less than one turn or one call, or a recipe that is not there.
    """
    if turns < 1:
        raise ValueError(f'turns={turns} must be at least 1.')
    if calls < 1:
        raise ValueError(f'calls={calls} must be at least 1.')
    say = say or (lambda line: None)
    for host in hosts:
        say(f'{host.part} in {host.title}')
        recipes, models = build(host, device)
        for training in (False, True) if host.training else (False, ):
            prepare = training_step if training else inference
            functions = [prepare(host, cfg, model, device) for cfg, model in zip(recipes, models)]
            if not training:
                macs = tuple(map(count_macs, functions))
                if host.literal:
                    functions.append(prepare(host, recipes[1], literally(models[1], *host.literal), device))
            times = max(1, turns // 2) if training else turns
            repeated = [functools.partial(call_again, function, calls) for function in functions]
            turns_taken = speed.interleave(repeated, times, 3, budget, speed.timer_for(device), LEAST)
            seconds = [[turn / calls for turn in own] for own in turns_taken]
            yield Added(host.part, host.title, training, *seconds[:2], macs, *seconds[2:])


def call_again(function, calls):
    """Call a function so many times, one after another."""
    for _ in range(calls):
        function()


def build(host, device):
    """The recipes, and the models with the same weights: the stock one's, and ours."""
    toolbox, path = host.stock
    stock = load_config(Path(__import__(toolbox).__path__[0]) / '.mim' / 'configs' / path)
    ours = load_config(Path(PACKAGE[0]) / '.mim' / 'configs' / host.ours, host.options)
    models = [build_untrained_model(cfg) for cfg in (stock, ours)]
    models[1].load_state_dict(models[0].state_dict(), strict=False)
    return (stock, ours), [model.to(device) for model in models]


def literally(model, layer, form):
    """A copy of a model whose layers of a type compute by a literal form."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, layer):
            module.forward = functools.partial(form, module)
    return model


def inference(host, cfg, model, device) -> Callable:
    """A function that predicts, or computes the backbone's features."""
    if not host.features:
        return speed.prediction(model, [made_batch(cfg, host.shape, host.batch_size)])
    images = torch.rand(host.batch_size, 3, *host.shape, generator=torch.Generator().manual_seed(0)).to(device)

    def features():
        with torch.no_grad():
            model.backbone(images)

    return features


def training_step(host, cfg, model, device) -> Callable:
    """A function that takes a training step of two images."""
    return speed.training_step(model, made_batch(cfg, host.shape, 2), build_optim_wrapper(model, cfg.optim_wrapper))
