"""Conversion of names in RT-DETR's release; no weights are downloaded."""
import itertools
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import recipes
from mmxattn.models import ResNetVD
from mmxattn.models.rtdetr.released_weights import convert_checkpoint, convert_state_dict

NAMES = Path(__file__).parents[2] / 'data' / 'rtdetr_released_names.txt'


def released_names(depth):
    """Names of all tensors in the released RT-DETR-R18 or R50 except BatchNorm's counters."""
    names = []
    for line in NAMES.read_text().splitlines():
        kind, _, name = line.rpartition(': ')
        if line.startswith('#') or kind not in ('', f'r{depth}'):
            continue
        parts = re.split(r'\{(.*?)\}', name)
        choices = [part.split(',') if i % 2 else [part] for i, part in enumerate(parts)]
        names += [''.join(choice) for choice in itertools.product(*choices)]
    assert len(names) == len(set(names))
    return names


def recipe(depth):
    return Config.fromfile(recipes.CONFIGS / 'rtdetr' / f'rtdetr_r{depth}vd_8xb2-72e_coco.py')


@pytest.fixture(scope='module', params=[18, 50])
def model(request):
    model = recipes.build(recipe(request.param))
    model.depth = request.param
    return model


def under_released_names(model):
    """The model's tensors by their released names."""
    names = released_names(model.depth)
    converted = convert_state_dict({name: torch.tensor(i) for i, name in enumerate(names)})
    ours = model.state_dict()
    return {names[i]: ours[name] for name, i in converted.items()}


def test_names_map_one_to_one(model):
    names = released_names(model.depth)
    converted = convert_state_dict({name: torch.tensor(i) for i, name in enumerate(names)})
    assert len(converted) == len(names)
    ours = {name for name in model.state_dict() if not name.endswith('num_batches_tracked')}
    assert set(converted) == ours - {'data_preprocessor.mean', 'data_preprocessor.std'}


def test_shapes_are_those_of_the_release(model):
    """Shapes that a mixed up order of stages or heads would change."""
    shapes = {name: tuple(tensor.shape) for name, tensor in under_released_names(model).items()}
    width = dict([(18, 1), (50, 4)])[model.depth]
    layers = dict([(18, 3), (50, 6)])[model.depth]
    assert shapes['backbone.conv1.conv1_1.conv.weight'] == (32, 3, 3, 3)
    assert shapes['backbone.conv1.conv1_3.conv.weight'] == (64, 32, 3, 3)
    for stage, channels in enumerate((64, 128, 256, 512)):
        short = 'short.conv' if stage == 0 else 'short.conv.conv'
        before = 64 if stage == 0 else width * channels // 2
        assert shapes[f'backbone.res_layers.{stage}.blocks.0.{short}.weight'] == (width * channels, before, 1, 1)
        assert shapes[f'backbone.res_layers.{stage}.blocks.1.branch2b.conv.weight'] == (channels, channels, 3, 3)
    for level in range(3):
        assert shapes[f'encoder.input_proj.{level}.0.weight'] == (256, width * 128 * 2**level, 1, 1)
    assert shapes['encoder.encoder.0.layers.0.self_attn.in_proj_weight'] == (768, 256)
    assert shapes['encoder.encoder.0.layers.0.linear1.weight'] == (1024, 256)
    assert shapes['encoder.encoder.0.layers.0.linear2.weight'] == (256, 1024)
    hidden = 128 if model.depth == 18 else 256
    assert shapes['encoder.fpn_blocks.0.conv1.conv.weight'] == (hidden, 512, 1, 1)
    assert shapes['encoder.pan_blocks.1.bottlenecks.2.conv1.conv.weight'] == (hidden, hidden, 3, 3)
    assert shapes['encoder.pan_blocks.1.bottlenecks.2.conv2.conv.weight'] == (hidden, hidden, 1, 1)
    assert shapes['encoder.downsample_convs.0.conv.weight'] == (256, 256, 3, 3)
    for i in range(layers):
        assert shapes[f'decoder.decoder.layers.{i}.cross_attn.sampling_offsets.weight'] == (8 * 3 * 4 * 2, 256)
        assert shapes[f'decoder.decoder.layers.{i}.cross_attn.attention_weights.weight'] == (8 * 3 * 4, 256)
        assert shapes[f'decoder.dec_score_head.{i}.weight'] == (80, 256)
        assert shapes[f'decoder.dec_bbox_head.{i}.layers.2.weight'] == (4, 256)
    assert shapes['decoder.denoising_class_embed.weight'] == (81, 256)
    assert shapes['decoder.query_pos_head.layers.0.weight'] == (512, 4)
    assert shapes['decoder.query_pos_head.layers.1.weight'] == (256, 512)
    assert shapes['decoder.enc_output.0.weight'] == (256, 256)
    assert shapes['decoder.enc_output.1.weight'] == (256, )
    assert shapes['decoder.enc_score_head.weight'] == (80, 256)
    assert shapes['decoder.enc_bbox_head.layers.2.weight'] == (4, 256)


def test_converted_checkpoint_loads(model, tmp_path):
    weights = under_released_names(model)
    weights['decoder.anchors'] = torch.zeros(1, 8400, 4)
    weights['decoder.valid_mask'] = torch.ones(1, 8400, 1, dtype=torch.bool)
    torch.save(dict(ema=dict(module=weights, updates=1)), tmp_path / 'released.pth')
    convert_checkpoint(tmp_path / 'released.pth', tmp_path / 'ours.pth')
    ours = recipes.build(recipe(model.depth), seed=1)
    missing, unexpected = ours.load_state_dict(torch.load(tmp_path / 'ours.pth')['state_dict'], strict=False)
    assert not unexpected and all(name.endswith(('num_batches_tracked', '.mean', '.std')) for name in missing)
    theirs = model.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.state_dict().items()
               if not name.endswith('num_batches_tracked'))


@pytest.mark.parametrize('wrap', [
    lambda weights: dict(ema=dict(module=weights, updates=1), model={}),
    lambda weights: dict(model=weights, last_epoch=1),
    lambda weights: weights], ids=['averaged', 'in training', 'bare'])
def test_weights_are_found_in_all_kinds_of_checkpoints(wrap, tmp_path):
    weights = {name: torch.tensor(i) for i, name in enumerate(released_names(18))}
    torch.save(wrap(weights), tmp_path / 'released.pth')
    convert_checkpoint(tmp_path / 'released.pth', tmp_path / 'ours.pth')
    assert torch.load(tmp_path / 'ours.pth')['state_dict'] == convert_state_dict(weights)


def test_other_weights_are_refused():
    with pytest.raises(ValueError, match="weights of RT-DETR's release"):
        convert_state_dict({'backbone.layer1.0.conv1.weight': torch.zeros(1)})


def test_backbone_loads_released_imagenet_weights(model, tmp_path):
    weights = {name.removeprefix('backbone.'): torch.randn(tensor.shape)
               for name, tensor in under_released_names(model).items() if name.startswith('backbone.')}
    torch.save(weights, tmp_path / 'backbone.pth')
    backbone = ResNetVD(depth=model.depth, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth')))
    backbone.init_weights()
    assert torch.equal(backbone.stem[0].weight, weights['conv1.conv1_1.conv.weight'])
    assert torch.equal(backbone.stem[7].running_var, weights['conv1.conv1_3.norm.running_var'])
    assert torch.equal(backbone.layer1[0].downsample[1].weight, weights['res_layers.0.blocks.0.short.conv.weight'])
    assert torch.equal(backbone.layer4[0].downsample[2].bias, weights['res_layers.3.blocks.0.short.conv.norm.bias'])
    assert torch.equal(backbone.layer4[1].bn2.running_var, weights['res_layers.3.blocks.1.branch2b.norm.running_var'])
    loaded = [tensor for name, tensor in backbone.state_dict().items() if 'num_batches' not in name]
    total = sum(tensor.double().sum() for tensor in weights.values()).item()
    assert sum(tensor.double().sum() for tensor in loaded).item() == pytest.approx(total)
