"""Accuracy of toy models that return distorted ground truth, which is fast and gives metrics between 0 and 1."""
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import InstanceData, PixelData

import recipes
from mmxattn.comparison import accuracy as accuracy_module
from mmxattn.comparison.accuracy import Accuracy, evaluate, paired_difference
from mmxattn.comparison.predictions import Detections, Segmentations, predict
from mmxattn.datasets import digit_scenes
from mmxattn.evaluation.coco import METRICS
from mmxattn.utils.config import build_model, load_config

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
DEMO = recipes.CONFIGS / 'demo'
DETECTOR, SEGMENTOR = DEMO / 'faster-rcnn_r18-w32_fpn64_digits.py', DEMO / 'segformer_mit-b0_digits-160x160.py'
IMAGES = 8


class Echo(BaseModel):
    """Predict the ground truth, distorted by the amount of its only parameter."""

    def __init__(self, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.distortion = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples, mode):
        for sample in data_samples:
            self.predict_sample(sample, torch.Generator().manual_seed(sum(map(ord, sample.img_path[-12:]))))
        return data_samples


@MODELS.register_module(force=True)
class EchoDetector(Echo):
    """Move the boxes, draw random scores, and change the class of every fifth box."""

    def predict_sample(self, sample, generator):
        truth = sample.gt_instances
        moved = truth.bboxes.cpu() + torch.randn(len(truth), 4, generator=generator) * float(self.distortion)
        scores = torch.rand(len(truth), generator=generator)
        labels = torch.where(torch.arange(len(truth)) % 5 == 4, (truth.labels.cpu() + 1) % 3, truth.labels.cpu())
        sample.pred_instances = InstanceData(bboxes=moved, scores=scores, labels=labels)


@MODELS.register_module(force=True)
class EchoSegmentor(Echo):
    """Change the class of random pixels."""

    def predict_sample(self, sample, generator):
        truth = sample.gt_sem_seg.data.cpu()
        wrong = torch.rand(truth.shape, generator=generator) < float(self.distortion)
        sample.pred_sem_seg = PixelData(data=torch.where(wrong, 1 - truth, truth))


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return dict(num_train=1, num_test=IMAGES, cache=str(tmp_path_factory.mktemp('cache')))


@pytest.fixture
def detector(scenes):
    root = digit_scenes.write(**scenes)
    cfg = load_config(DETECTOR, {'test_dataloader.dataset.scenes': scenes, 'test_dataloader.num_workers': 0,
                                 'test_dataloader.persistent_workers': False,
                                 'test_evaluator.ann_file': f'{root}/test.json', 'test_evaluator.classwise': True})
    cfg.model = dict(type='EchoDetector', data_preprocessor=dict(type='DetDataPreprocessor'))
    return cfg


@pytest.fixture
def segmentor(scenes):
    cfg = load_config(SEGMENTOR, {'test_dataloader.dataset.scenes': scenes, 'test_dataloader.num_workers': 0,
                                  'test_dataloader.persistent_workers': False})
    cfg.model = dict(type='EchoSegmentor', data_preprocessor=dict(type='SegDataPreProcessor'))
    return cfg


@pytest.fixture
def weights(tmp_path):
    """Return a function that writes a checkpoint with a given distortion."""

    def write(distortion):
        path = tmp_path / f'{distortion}.pth'
        torch.save(dict(state_dict=dict(distortion=torch.tensor([float(distortion)])), message_hub={}), path)
        return path

    return write


def test_detection_metrics_match_toolbox(detector, weights, tmp_path):
    steps = []
    found = evaluate(detector, weights(3), tmp_path / 'run', progress=lambda *step: steps.append(step))
    assert (found.task, found.num_images, found.classes) == ('detection', IMAGES, list('0123456789'))
    assert steps[-1] == (IMAGES, IMAGES)
    assert set(found.metrics) == set(METRICS) and 0.1 < found.metrics['AP'] < 0.9
    for short, name in dict(AP='mAP', AP50='mAP_50', AP75='mAP_75', AP_S='mAP_s', AP_M='mAP_m', AP_L='mAP_l').items():
        assert found.reported[f'coco/bbox_{name}'] == round(found.metrics[short], 3)
    for name, values in found.per_class.items():
        if values is not None:
            assert found.reported[f'coco/{name}_precision'] == round(values['AP'], 3)
    annotations = Detections.load(found.folder).ground_truth['annotations']
    assert sum(values['instances'] for values in found.per_class.values() if values) == len(annotations)
    overall = found.operating_point['overall']
    assert overall['tp'] + overall['fn'] == len(annotations) and overall['fp'] > 0
    assert found.errors['classification']['count'] > 0
    assert len(found.curves['recall']) == len(found.curves['0.5']) == len(found.curves['0.75']) == 101
    assert np.mean(found.curves['0.5']) == pytest.approx(found.metrics['AP50'])


def test_segmentation_metrics_match_toolbox(segmentor, weights, tmp_path):
    found = evaluate(segmentor, weights(0.2), tmp_path / 'run')
    assert (found.task, found.num_images, found.classes) == ('segmentation', IMAGES, ['background', 'digit'])
    assert set(found.reported) == {'mIoU', 'aAcc', 'mAcc'}
    for name, value in found.reported.items():
        assert value == pytest.approx(round(found.metrics[name], 2))
    assert 75 < found.metrics['aAcc'] < 85
    assert found.metrics['mIoU'] == pytest.approx(np.mean([values['IoU'] for values in found.per_class.values()]))
    small = [values['IoU'] for values in found.per_class.values() if values['small']]
    assert found.metrics['mIoU@small'] == (pytest.approx(np.mean(small)) if small else None)
    assert all(values['instances'] >= values['small_instances'] for values in found.per_class.values())
    assert found.operating_point is found.errors is found.curves is None


@pytest.mark.slow
def test_real_models_can_be_evaluated(scenes, tmp_path):
    """Real models with random weights."""
    root = digit_scenes.write(**scenes)
    for path, options in ((DETECTOR, {'test_evaluator.ann_file': f'{root}/test.json'}), (SEGMENTOR, {})):
        cfg = load_config(path, {'test_dataloader.dataset.scenes': scenes, 'test_dataloader.num_workers': 0,
                                   'test_dataloader.persistent_workers': False, **options})
        torch.manual_seed(0)
        torch.save(dict(state_dict=build_model(cfg).state_dict()), tmp_path / 'random.pth')
        found = evaluate(cfg, tmp_path / 'random.pth', tmp_path / path.stem)
        assert found.num_images == IMAGES and found.reported
        assert all(value is None or 0 <= value <= 100 for value in found.metrics.values())


def test_result_is_cached(detector, weights, tmp_path, monkeypatch):
    first = evaluate(detector, weights(3), tmp_path / 'run')
    monkeypatch.setattr(accuracy_module, 'predict', lambda *args: pytest.fail('the model ran again'))
    again = evaluate(detector, weights(3), tmp_path / 'run')
    assert again == first and isinstance(again, Accuracy)
    moved = (tmp_path / 'run').rename(tmp_path / 'elsewhere')
    assert evaluate(detector, weights(3), moved).folder == str(moved)


@pytest.mark.parametrize('change', ['weights', 'config', 'version', 'files'])
def test_cache_is_invalidated(detector, weights, tmp_path, monkeypatch, change):
    evaluate(detector, weights(3), tmp_path / 'run')
    checkpoint = weights(4 if change == 'weights' else 3)
    if change == 'config':
        detector.test_dataloader.batch_size = 2
    elif change == 'version':
        monkeypatch.setattr(accuracy_module, 'VERSION', -1)
    elif change == 'files':
        (tmp_path / 'run' / 'detections.json.gz').unlink()
    ran = []
    monkeypatch.setattr(accuracy_module, 'predict', lambda *args: ran.append(1) or predict(*args))
    evaluate(detector, checkpoint, tmp_path / 'run')
    assert ran == [1]


def test_interruption_leaves_no_inconsistent_cache(detector, weights, tmp_path, monkeypatch):
    evaluate(detector, weights(3), tmp_path / 'run')

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(accuracy_module, 'write_json', stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate(detector, weights(5), tmp_path / 'run')
    monkeypatch.undo()
    assert not (tmp_path / 'run' / 'accuracy.json').exists()  # no old result with new predictions
    assert not list((tmp_path / 'run').glob('.*.part'))
    new = evaluate(detector, weights(5), tmp_path / 'run')
    assert new.metrics['AP'] == evaluate(detector, weights(5), tmp_path / 'fresh').metrics['AP']


def test_json_round_trip(detector, segmentor, weights, tmp_path):
    for cfg, distortion in ((detector, 3), (segmentor, 0.1)):
        found = evaluate(cfg, weights(distortion), tmp_path / str(distortion))
        text = json.dumps(asdict(found), allow_nan=False)
        assert Accuracy(**json.loads(text)) == found


def test_missing_checkpoint_is_reported(detector, tmp_path):
    with pytest.raises(ValueError, match='There is no checkpoint .*absent.pth'):
        evaluate(detector, tmp_path / 'absent.pth', tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_only_the_images_and_classes_of_the_dataset_are_evaluated(detector, weights, tmp_path):
    """Only images that the dataset yields are evaluated, and labels are mapped to categories."""
    detector.test_dataloader.dataset.indices = [1, 4]
    detector.test_dataloader.dataset.metainfo = dict(classes=('3', '7', '1'))  # not in the order of the file
    found = evaluate(detector, weights(0.5), tmp_path / 'run')
    kept = Detections.load(found.folder)
    assert found.num_images == len(kept.ground_truth['images']) == 2
    assert found.classes == ['1', '3', '7']
    assert {ann['image_id'] for ann in kept.ground_truth['annotations']} <= {2, 5}
    correct = {(ann['image_id'], ann['category_id']) for ann in kept.ground_truth['annotations']}
    hits = [(result['image_id'], result['category_id']) in correct for result in kept.results]
    assert hits and np.mean(hits) >= 0.7  # every fifth has another class


def test_voc_dataset_ignores_difficult_objects(detector, weights, tmp_path, scenes):
    """A dataset without a COCO file; difficult objects do not count as missed."""
    write_voc(tmp_path, digit_scenes.write(**scenes))
    detector.test_dataloader.dataset = dict(
        type='XMLDataset', data_root=str(tmp_path), ann_file='list.txt', data_prefix=dict(sub_data_root=''),
        img_subdir='images', ann_subdir='xml', test_mode=True, metainfo=dict(classes=tuple('0123456789')),
        pipeline=detector.test_dataloader.dataset.pipeline)
    detector.test_evaluator = dict(type='VOCMetric', metric='mAP', eval_mode='11points')
    found = evaluate(detector, weights(1), tmp_path / 'run')
    assert found.metrics['mAP'] == found.reported['pascal_voc/mAP'] > 0.1
    kept = Detections.load(found.folder)
    assert [ann['iscrowd'] for ann in kept.ground_truth['annotations']].count(1) == IMAGES  # one per image
    overall = found.operating_point['overall']
    assert overall['tp'] + overall['fn'] == len(kept.ground_truth['annotations']) - IMAGES
    assert [image['id'] for image in kept.ground_truth['images']] == list(range(1, IMAGES + 1))


def write_voc(folder, root):
    from PIL import Image
    truth = json.loads((folder / root / 'test.json').read_text())
    for name in ('images', 'xml'):
        (folder / name).mkdir()
    for image in truth['images']:
        stem = f'p{image["id"]}'
        Image.open(f'{root}/test/images/{image["file_name"]}').save(folder / f'images/{stem}.jpg')
        objects = [ann for ann in truth['annotations'] if ann['image_id'] == image['id']]
        boxes = ''.join(
            f'<object><name>{ann["category_id"] - 1}</name><difficult>{int(index == 0)}</difficult><bndbox>'
            f'<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w + 1}</xmax><ymax>{y + h + 1}</ymax></bndbox>'
            f'</object>'
            for index, ann in enumerate(objects) for x, y, w, h in [ann['bbox']])
        (folder / f'xml/{stem}.xml').write_text(
            f'<annotation><size><width>160</width><height>160</height></size>{boxes}</annotation>')
    (folder / 'list.txt').write_text('\n'.join(f'p{image["id"]}' for image in truth['images']))


@pytest.mark.parametrize('task', ['detector', 'segmentor'])
def test_paired_difference_equals_the_difference_of_metrics(task, request, weights, tmp_path):
    cfg = request.getfixturevalue(task)
    good, bad = (evaluate(cfg, weights(distortion), tmp_path / str(distortion))
                 for distortion in ((1, 6) if task == 'detector' else (0.1, 0.3)))
    steps = []
    found = paired_difference(bad, good, resamples=100, progress=lambda *step: steps.append(step))
    for name, interval in found.items():
        assert interval.difference == pytest.approx(good.metrics[name] - bad.metrics[name], abs=1e-9)
    main = found['AP' if task == 'detector' else 'mIoU']
    assert 0 < main.lower <= main.difference <= main.upper
    assert (main.resamples, main.seed) == (100, 0) and steps[-1] == (100, 100)
    assert set(found) == {name for name, value in good.metrics.items() if value is not None}
    some = paired_difference(bad, good, list(found)[:2], resamples=100)
    assert some == {name: found[name] for name in list(found)[:2]}
    same = paired_difference(good, good, resamples=10)
    assert {(each.difference, each.lower, each.upper) for each in same.values()} == {(0, 0, 0)}


def test_order_of_segmented_images_does_not_matter(segmentor, weights, tmp_path):
    runs = [evaluate(segmentor, weights(distortion), tmp_path / str(distortion)) for distortion in (0.1, 0.3)]
    before = paired_difference(*runs, resamples=50)
    for number, run in enumerate(runs):
        kept, order = Segmentations.load(run.folder), np.random.RandomState(number).permutation(IMAGES)
        Segmentations([kept.images[index] for index in order], kept.classes, kept.areas[order],
                      kept.components[order]).save(run.folder)
    assert paired_difference(*runs, resamples=50) == before


def test_incomparable_results_are_rejected(detector, segmentor, weights, tmp_path):
    boxes = evaluate(detector, weights(1), tmp_path / 'boxes')
    maps = evaluate(segmentor, weights(0.1), tmp_path / 'maps')
    detector.test_dataloader.dataset.indices = 3
    fewer = evaluate(detector, weights(1), tmp_path / 'fewer')
    with pytest.raises(ValueError, match='evaluate both on the same dataset'):
        paired_difference(boxes, fewer)
    with pytest.raises(ValueError, match='same task: .* detection .* segmentation'):
        paired_difference(boxes, maps)
    with pytest.raises(ValueError, match=r"metric_names must be among \('AP', .* got \['mAP'\]"):
        paired_difference(boxes, boxes, ['AP', 'mAP'])


def test_test_set_without_public_targets_is_skipped(segmentor, weights, tmp_path):
    segmentor.val_dataloader, segmentor.val_evaluator = segmentor.test_dataloader, segmentor.test_evaluator
    segmentor.test_evaluator = dict(type='IoUMetric', format_only=True, output_dir=str(tmp_path / 'predictions'))
    segmentor.test_dataloader = dict(segmentor.test_dataloader, dataset=dict(type='NoSuchDataset'))
    assert evaluate(segmentor, weights(0), tmp_path / 'run').metrics['mIoU'] == 100
