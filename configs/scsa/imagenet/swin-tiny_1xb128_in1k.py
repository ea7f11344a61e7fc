_base_ = __import__('mmpretrain').__path__[0] + '/.mim/configs/swin_transformer/swin-tiny_16xb64_in1k.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# The paper's run (Sec. 4.1): one GPU, mixed precision, seed 0, the learning rate scaled with the batch.
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(type='AmpOptimWrapper', optimizer=dict(lr=0.000125))
auto_scale_lr = dict(base_batch_size=128)
randomness = dict(seed=0)
