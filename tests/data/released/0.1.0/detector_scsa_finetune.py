_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/retinanet/retinanet_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)

model = dict(backbone=dict(plugins=[
    dict(cfg=dict(type='SCSA', zero_init=True, freezable=True, kernel_sizes=(3, 5, 7, 9), window_size=7),
         stages=(False, True, True, True), position='after_conv2')]))
optim_wrapper = dict(optimizer=dict(lr=0.002))
