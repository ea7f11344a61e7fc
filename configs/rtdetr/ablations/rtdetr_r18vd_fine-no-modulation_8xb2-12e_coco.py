_base_ = '../rtdetr_r18vd_fine_8xb2-12e_coco.py'
model = dict(neck=dict(fine_cfg=dict(modulation='none')))
