_base_ = __import__('mmpretrain').__path__[0] + '/.mim/configs/swin_transformer/swin-tiny_16xb64_in1k.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# Training settings of the paper (Sec. 4.1): one GPU, mixed precision, seed 0, scaled learning rate.
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(type='AmpOptimWrapper', optimizer=dict(lr=0.000125))
auto_scale_lr = dict(base_batch_size=128)
randomness = dict(seed=0)
