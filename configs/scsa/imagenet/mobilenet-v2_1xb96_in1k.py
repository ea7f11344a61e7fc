_base_ = __import__('mmpretrain').__path__[0] + '/.mim/configs/mobilenet_v2/mobilenet-v2_8xb32_in1k.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# Training settings of the paper (Sec. 4.1): one GPU, mixed precision, seed 0, batch size and learning rate of ECA-Net.
train_dataloader = dict(batch_size=96)
optim_wrapper = dict(type='AmpOptimWrapper', optimizer=dict(lr=0.045))
auto_scale_lr = dict(base_batch_size=96)
randomness = dict(seed=0)
