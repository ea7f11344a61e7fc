_base_ = ['./_base_/rtdetr_r18vd.py', './_base_/rtdetr_coco_72e.py']
# The 1x schedule of FINE's ablations.
train_cfg = dict(max_epochs=12)
