_base_ = ['./_base_/rtdetr_r50vd.py', './_base_/rtdetr_coco_72e.py']
