_base_ = './segformer_mit-b1_cla_8xb2-160k_ade20k-512x512.py'
# The paper's schedule (Sec. IV): batch size 8, 320k iterations.
train_dataloader = dict(batch_size=8)
train_cfg = dict(max_iters=320000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, begin=1500, end=320000, by_epoch=False)
]
