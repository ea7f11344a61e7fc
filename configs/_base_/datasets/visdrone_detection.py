"""VisDrone2019-DET (github.com/VisDrone/VisDrone-Dataset): 10 classes, 6,471 images to train on, 548 to validate on.

``mim run mmxattn prepare_dataset visdrone --source FOLDER`` makes ``data/VisDrone2019-DET/`` ready. Ignored regions do
not count. As everywhere in mmdet, at most 100 detections an image enter AP; the benchmark's own server takes 500.
"""
_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/_base_/datasets/coco_detection.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
dataset_type = 'VisDroneDataset'
data_root = 'data/VisDrone2019-DET/'
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='VisDrone2019-DET-train/images/')))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='VisDrone2019-DET-val/images/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
