_base_ = ['./_base_/rtdetr_r18vd.py', './_base_/rtdetr_coco_72e.py']
# 1x schedule for the ablations of FINE.
train_cfg = dict(max_epochs=12)
