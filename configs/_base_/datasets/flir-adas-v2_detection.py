"""FLIR ADAS v2 (flir.com/oem/adas/adas-dataset-form), thermal images of 640x512 pixels: 15 classes.

``mim run mmxattn prepare_dataset flir --source FOLDER`` creates ``data/FLIR_ADAS_v2/`` with 10,742 training and 1,144
validation images.
"""
_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/_base_/datasets/coco_detection.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
dataset_type = 'FLIRADASDataset'
data_root = 'data/FLIR_ADAS_v2/'
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_thermal_train.json',
        data_prefix=dict(img='images_thermal_train/')))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_thermal_val.json',
        data_prefix=dict(img='images_thermal_val/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_thermal_val.json')
test_evaluator = val_evaluator
