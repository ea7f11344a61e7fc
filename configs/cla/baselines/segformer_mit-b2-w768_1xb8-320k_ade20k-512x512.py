_base_ = __import__('mmseg').__path__[0] + '/.mim/configs/segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# 768 channels in the head, as in the SegFormer paper from B2 on, with CLA's schedule (Sec. IV).
model = dict(decode_head=dict(channels=768))
train_dataloader = dict(batch_size=8)
train_cfg = dict(max_iters=320000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, begin=1500, end=320000, by_epoch=False)
]
