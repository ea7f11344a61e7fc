_base_ = '../rtdetr_r18vd_8xb2-12e_coco.py'
model = dict(neck=dict(align_cfg=dict(type='FaPNAlignment')))
