"""VisDrone2019-DET (github.com/VisDrone/VisDrone-Dataset): 10 classes, 6,471 training and 548 validation images.

``mim run mmxattn prepare_dataset visdrone --source FOLDER`` creates ``data/VisDrone2019-DET/``. Ignored regions do not
count. At most 100 detections per image are evaluated, mmdet's default; the server of the benchmark evaluates 500.
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
