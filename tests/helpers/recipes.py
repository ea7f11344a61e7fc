"""Configs of the package, and small inputs for their models."""
import copy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData

CONFIGS = Path(__file__).parents[2] / 'configs'
FOLDERS = sorted(file.parent.relative_to(CONFIGS).as_posix() for file in CONFIGS.rglob('metafile.yml'))


def published():
    """(folder/name, path) of the configs in folders with a metafile."""
    paths = [path for folder in FOLDERS for path in sorted((CONFIGS / folder).glob('*.py'))]
    return [(path.relative_to(CONFIGS).with_suffix('').as_posix(), path) for path in paths]


def stock(package, name):
    """A stock config of mmdet or mmseg."""
    return Config.fromfile(f'{__import__(package).__path__[0]}/.mim/configs/{name}')


def flatten(cfg, prefix=''):
    """Flatten a nested dict to dotted keys."""
    if isinstance(cfg, dict):
        return {key: value for k, v in cfg.items() for key, value in flatten(v, f'{prefix}{k}.').items()}
    return {prefix[:-1]: cfg}


def difference(ours, theirs):
    """Dotted keys whose values differ between two configs."""
    a, b = flatten(ours.to_dict()), flatten(theirs.to_dict())
    return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)}


def prepare(model):
    """Modify a model config for tests: no downloads, small heads, and no zero init of residual branches.

    The latter, the default of mmdet's ResNet, blocks the gradients of the branches.
    """
    if isinstance(model, dict):
        init = model.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            model['init_cfg'] = None
        if 'pretrained' in model:
            model['pretrained'] = None
        if str(model.get('type')).startswith('ResNet'):
            model['zero_init_residual'] = False
        for name, smaller in (('fc_out_channels', 64), ('nms_pre', 100), ('max_per_img', 50)):
            if name in model:
                model[name] = smaller
        for value in model.values():
            prepare(value)
    elif isinstance(model, (list, tuple)):
        for value in model:
            prepare(value)
    return model


def build(cfg, seed=0):
    """Build the model of a config with random weights."""
    init_default_scope(cfg.default_scope)
    MMLogger.get_instance('tests', log_level='ERROR')  # init_weights lists every parameter
    toolbox = __import__(f'{cfg.default_scope}.registry', fromlist=['MODELS'])
    torch.manual_seed(seed)
    model = toolbox.MODELS.build(prepare(copy.deepcopy(cfg.model)))
    model.init_weights()
    return model


def count(model):
    return sum(p.numel() for p in model.parameters())


def inputs(cfg, model, sizes, num_objects=12):
    """A batch of random uint8 images of ``sizes`` (H, W) with random annotations."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8) for size in sizes]
    make = segmentation_sample if cfg.default_scope == 'mmseg' else detection_sample
    return dict(inputs=images, data_samples=[make(model, size, num_objects, generator) for size in sizes])


def detection_sample(model, size, num_objects, generator):
    from mmdet.structures import DetDataSample
    height, width = size
    extent = 0.8 + 0.2 * torch.rand(num_objects, 2, generator=generator)
    extent = extent * torch.linspace(0.1, 0.9, num_objects)[:, None]
    corner = torch.rand(num_objects, 2, generator=generator) * (1 - extent)  # objects for every level
    boxes = torch.cat((corner, corner + extent), 1) * torch.tensor([width, height, width, height])
    sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1., 1.), img_id=0, flip=False))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(num_objects) % 3)
    if getattr(getattr(model, 'roi_head', None), 'with_mask', False):
        sample.gt_instances.masks = box_masks(boxes, size)
    if hasattr(model, 'semantic_head'):
        labels = torch.randint(model.semantic_head.num_classes, (1, *size), generator=generator)
        sample.gt_sem_seg = PixelData(sem_seg=labels)
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
    return sample


def box_masks(boxes, size):
    """Masks that fill the boxes."""
    from mmdet.structures.mask import BitmapMasks
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist()):
        mask[top:bottom, left:right] = 1
    return BitmapMasks(masks.numpy(), *size)


def segmentation_sample(model, size, num_objects, generator):
    from mmseg.structures import SegDataSample
    sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size, pad_shape=size, scale_factor=(1., 1.)))
    labels = torch.randint(model.num_classes, (1, *size), generator=generator)
    sample.gt_sem_seg = PixelData(data=labels)
    return sample


def loss(model, batch):
    """Total training loss of a batch in the first iteration."""
    MessageHub.get_current_instance().update_info('iter', 0)
    data = model.data_preprocessor(batch, training=True)
    losses = model(**data, mode='loss')
    total, _ = model.parse_losses(losses)
    return total
