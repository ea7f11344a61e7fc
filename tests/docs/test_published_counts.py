"""Published counts that differ from ours, reproduced with the counting rules that the notes of the tables describe."""
import functools
import importlib.util
import math
import warnings
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement, InstanceData
from torch import nn
from torchvision.models import detection

import recipes
from mmxattn.utils.config import build_model, load_config

FOLDER = recipes.CONFIGS.parent / 'docs' / 'paper_tables'
spec = importlib.util.spec_from_file_location('make_paper_tables', FOLDER / 'make.py')
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

TABLES = make.read_tables()
COUNTS = make.Counts()
SLOW = pytest.mark.slow


@pytest.fixture(autouse=True)
def scope():
    yield
    init_default_scope('mmdet')  # the other tests do not expect the scopes of mmpretrain and mmseg


def table_of(paper, name):
    [table] = [table for table in TABLES if table.paper == paper and table.table == name]
    return table


def row_of(paper, table, name):
    [row] = [row for row in table_of(paper, table).rows if row.row == name]
    return row


def matches(value, published):
    """Return whether a value equals the published one after rounding."""
    return make.round_like(value, published) == published


def build(config, options=None):
    return build_model(load_config(make.find_config(config), options))


def attention_macs(inputs, outputs):
    query, key, value = (tensor.type().sizes() for tensor in inputs[:3])
    return Counter(attention=math.prod(query[:-2]) * query[-2] * key[-2] * (query[-1] + value[-1]))


def count_operations(model, *inputs):
    """Count operations with mmengine's tool, by module ('' is the model) and operator, with a rule for attention."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # tracing warns about constants
        analyzer = FlopAnalyzer(model, inputs)
        analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings('none')
        analyzer.set_op_handle('aten::scaled_dot_product_attention', attention_macs)
        return analyzer.by_module_and_operator()


def image(height, width):
    return torch.zeros(1, 3, height, width)


def total(model, *size):
    return sum(count_operations(model, image(*size))[''].values())


# FINE's classic detectors are those of torchvision: weights, and the changes that turn mmdet's config into them.
CLASSIC = {
    'RetinaNet R50, FPN': (detection.RetinaNet_ResNet50_FPN_Weights, {
        'model.neck.add_extra_convs': 'on_output', 'model.bbox_head.num_classes': 91}),
    'FCOS R50, FPN': (detection.FCOS_ResNet50_FPN_Weights, {
        'model.backbone.style': 'pytorch', 'model.bbox_head.num_classes': 91}),
    'Faster R-CNN R50, FPN': (detection.FasterRCNN_ResNet50_FPN_Weights, {'model.roi_head.bbox_head.num_classes': 91}),
}
FROZEN = 53_120  # weights and biases of ResNet-50's norms, which are buffers in torchvision


@pytest.mark.parametrize('name', [pytest.param(name, marks=SLOW if 'Faster' in name else []) for name in CLASSIC])
def test_operations_of_classic_detectors_match_torchvision(name):
    """mmdet adds a background class to the 91 classes of torchvision, which include it."""
    row, (weights, changes) = row_of('fine', 'Table 1, all but RT-DETR', name), CLASSIC[name]
    options = {}
    for key, value in changes.items():
        options[key] = value
        macs = make.count_macs(load_config(make.find_config(row.config), options), row.size)
        macs -= 1000 * 1024 if 'Faster' in name else 0
        assert f'{macs / 1e9:.3f}' in row.note
    assert round(macs / 1e9, 3) == weights.COCO_V1.meta['_ops']
    assert matches(macs / 1e9, row.ops)


def test_torchvision_counts_mask_rcnn_like_faster_rcnn():
    weights = (detection.FasterRCNN_ResNet50_FPN_Weights, detection.MaskRCNN_ResNet50_FPN_Weights)
    assert [weights.COCO_V1.meta['_ops'] for weights in weights] == [134.38, 134.38]


@pytest.mark.parametrize('name', ['RetinaNet R50, FPN', 'Faster R-CNN R50, FPN'])
def test_parameters_of_classic_detectors_match_torchvision(name):
    row, (weights, changes) = row_of('fine', 'Table 1, all but RT-DETR', name), CLASSIC[name]
    model = build(row.config, changes)
    norms = [m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert sum(p.numel() for norm in norms for p in norm.parameters()) == FROZEN
    background = 1024 + 1 if 'Faster' in name else 0
    assert recipes.count(model) - FROZEN - background == weights.COCO_V1.meta['num_params']
    assert matches(weights.COCO_V1.meta['num_params'] / 1e6, row.params)


@SLOW
@pytest.mark.parametrize('name', ['RetinaNet R50, FPN', 'FCOS R50, FPN'])
def test_counts_with_fine_include_norms_and_upsampling(name):
    row = row_of('fine', 'Table 1, all but RT-DETR', f'{name} + FINE')
    modules = count_operations(build(row.config, CLASSIC[name][1]), image(*row.size))
    macs = sum(modules[''].values())
    if name.startswith('FCOS'):
        assert f'{macs / 1e9:.2f} with them' in ' '.join(row.note.split())
        macs -= modules['bbox_head']['group_norm']
    assert f'{macs / 1e9:.2f}' in row.note
    assert matches(macs / 1e9, row.ops)


@functools.cache
def backbone_norms():
    """Count the operations of ResNet-50's norms at 800x800."""
    backbone = build('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py').backbone
    return count_operations(backbone, image(800, 800))['']['batch_norm']


def count_neck_without_convolutions(config):
    """Count the operations of FINEFPN at 800x800 without convolutions."""
    neck = build(config).neck
    neck.fpn_convs = nn.ModuleList(nn.Identity() for _ in neck.fpn_convs)
    maps = tuple(torch.zeros(1, 256 << level, 200 >> level, 200 >> level) for level in range(4))
    counts = count_operations(UnpackedNeck(neck), *maps)['']
    return sum(number for operator, number in counts.items() if operator != 'conv')


class UnpackedNeck(nn.Module):
    """A neck that takes its feature maps as separate arguments."""

    def __init__(self, neck):
        super().__init__()
        self.neck = neck

    def forward(self, *maps):
        return self.neck(maps)


@SLOW
def test_faster_rcnn_with_fine_is_counted_without_norms_of_the_backbone():
    row = row_of('fine', 'Table 1, all but RT-DETR', 'Faster R-CNN R50, FPN + FINE')
    stock = detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta['_ops']
    gmacs = stock + count_neck_without_convolutions(row.config) / 1e9
    assert f'{gmacs:.2f}' in row.note and matches(gmacs, row.ops)
    assert not matches(gmacs + backbone_norms() / 1e9, row.ops)


@SLOW
@pytest.mark.parametrize('row', [row for row in table_of('fine', 'Fig. 5').rows if row.ops], ids=lambda row: row.row)
def test_operations_of_sampling_ratios_include_norms(row):
    added = (count_neck_without_convolutions(row.config) + backbone_norms()) / 1e9
    assert f'with norms +{added:.2f}, published +{row.ops - Decimal("134.4")}' in row.note
    assert matches(added, row.ops - Decimal('134.4'))


def test_multiply_adds_of_depthwise_pooling():
    row = row_of('fine', 'Table 6', 'DWConv')
    assert COUNTS.macs(row.config, row.size) - COUNTS.macs(row.over, row.size) == 2_457_600
    assert '2,457,600' in row.note


@SLOW
@pytest.mark.parametrize('name', ['Semantic FPN', 'Semantic FPN + FINE'])
def test_operations_of_semantic_fpn_match_the_paper(name):
    """Count at half the height and width, which is a quarter of all operations."""
    row = row_of('fine', 'Table 7, semantic segmentation', name)
    gmacs = 4 * total(build(row.config), row.size[0] // 2, row.size[1] // 2) / 1e9
    assert f'{gmacs:.3f}' in row.note
    assert int(10 * gmacs) == 10 * row.ops  # 91.751 is printed as 91.7


@SLOW
@pytest.mark.parametrize('name', ['Panoptic FPN', 'Panoptic FPN + FINE'])
def test_operations_of_panoptic_fpn_match_the_paper(name, monkeypatch):
    """Count with the maximum of 1000 proposals and masks for the first 100."""
    row = row_of('fine', 'Table 7, panoptic segmentation', name)
    model = build(row.config)
    number = model.rpn_head.test_cfg.max_per_img
    proposals = InstanceData(bboxes=torch.tensor([[0., 0., *row.size]]).repeat(number, 1))
    monkeypatch.setattr(model.rpn_head, 'predict_by_feat', lambda *args, **kwargs: [proposals])
    samples = [BaseDataElement(metainfo=dict(img_shape=row.size))]
    model.forward = functools.partial(model.forward, data_samples=samples)  # as in mmdet's tool
    gmacs = total(model, *row.size) / 1e9
    assert f'{gmacs:.3f}' in row.note and matches(gmacs, row.ops)


UPERNETS = [row for row in table_of('scsa', 'Table 5').rows
            if row.row in ('ResNet-50', 'ResNet-50 + CPCA', 'ResNet-101')]


@SLOW
@pytest.mark.parametrize('row', UPERNETS, ids=lambda row: row.row)
def test_operations_of_upernet_match_the_paper(row):
    """Extrapolate the operations, which are linear in the number of pixels, from two small images."""
    model = build(row.config, {'model.backbone.type': 'ResNet'})
    pixels = [height * width for height, width in ((128, 256), (256, 512), row.size)]
    small, large = total(model, 128, 256), total(model, 256, 512)
    gmacs = (small + (large - small) * (pixels[2] - pixels[0]) / (pixels[1] - pixels[0])) / 1e9
    assert matches(gmacs, Decimal(row.ops)) and str(row.ops) in table_of('scsa', 'Table 5').note


CLASSIFIERS = table_of('scsa', 'Table 2').rows


@SLOW
@pytest.mark.parametrize('row', CLASSIFIERS, ids=lambda row: row.row)
def test_operations_of_scsa_classifiers_match_the_paper(row):
    """FcaNet's released code multiplies elementwise, which is not counted, and does not pool to the size of the map."""
    modules = count_operations(build(row.config), image(*row.size))
    macs = sum(modules[''].values())
    if 'FcaNet' in row.row:
        macs -= sum(counts['matmul'] + counts['adaptive_avg_pool2d']
                    for name, counts in modules.items() if name.endswith('.fca'))
    assert f'{macs / 1e9:.3f} G' in row.note
    if row.row == 'ResNet-50, ResNet':
        assert (f'{macs / 1e9:.2f}', str(row.ops)) == ('4.11', '4.02')  # unexplained
    elif row.row == 'ResNet-101, CBAM':
        assert (f'{macs / 1e9:.3f}', str(row.ops)) == ('7.845', '7.84')  # rounded down
    else:
        assert matches(macs / 1e9, row.ops)


@pytest.mark.parametrize('row', CLASSIFIERS, ids=lambda row: row.row)
def test_parameters_of_scsa_classifiers_match_the_paper(row):
    """mmengine's tool prints three decimal places, which the paper rounds to two."""
    millions = Decimal(COUNTS.parameters(row.config)) / 10**6
    for places in ('0.001', '0.01'):
        millions = millions.quantize(Decimal(places), ROUND_HALF_UP)
    assert millions == (Decimal('3.62') if row.row == 'MobileNetV2-1.0, SCSA' else row.params)


def test_operations_of_scsa_detectors_are_within_the_published_tolerance():
    tables = [table for table in TABLES if table.paper == 'scsa' and table.table.startswith('Table 3')]
    rows = [row for table in tables for row in table.rows]
    worst = max(abs(COUNTS.macs(row.config, row.size) / 1e9 / float(row.ops) - 1) for row in rows)
    assert f'{worst:.2%}' in table_of('scsa', 'Table 3, Faster R-CNN').note


def released_head(in_channels, width):
    """Count the parameters of the head released by SegFormer's authors, for 150 classes."""
    embeddings = sum(channels * width + width for channels in in_channels)
    fusion = 4 * width * width + 2 * width  # no bias, one norm
    used, unused = (width + 1) * 150, (128 + 1) * 150
    return embeddings + fusion + used + unused


@pytest.mark.parametrize('row', table_of('cla', 'Table 1').rows, ids=lambda row: row.row)
def test_segformer_counts_include_the_released_head(row):
    name = row.row.removesuffix(' + CLA')
    stock = build(row_of('cla', 'Table 1', name).config)
    head = stock.decode_head
    added = COUNTS.parameters(row.config) - recipes.count(stock)
    assert released_head(head.in_channels, head.channels) - recipes.count(head) == 19_350 - 4 * head.channels
    count = recipes.count(stock) - recipes.count(head) + released_head(head.in_channels, head.channels) + added
    if row.row == 'SegFormer-B1 + CLA':
        assert f'{count / 1e6:.2f}' == '14.09' and '14.09M' in row.note  # published as 13.8, unexplained
    else:
        assert matches(count / 1e6, row.params)
    if 'B0' in row.row:
        assert f'{count:,}' in row.note
