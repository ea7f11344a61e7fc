_base_ = '../rtdetr_r18vd_fine_8xb2-12e_coco.py'
model = dict(neck=dict(kernel_sizes=(1, 1), fine_cfg=dict(sampling_ratio=1, attention='window')))
