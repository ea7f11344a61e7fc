_base_ = './segformer_mit-b0_cla_8xb2-160k_ade20k-512x512.py'
# Finetunes the stock segmentor with CLA as the identity and a tenth of the learning rate.
model = dict(decode_head=dict(zero_init=True))
optim_wrapper = dict(optimizer=dict(lr=0.000006))
load_from = ('https://download.openmmlab.com/mmsegmentation/v0.5/segformer/segformer_mit-b0_512x512_160k_ade20k/'
             'segformer_mit-b0_512x512_160k_ade20k_20210726_101530-8ffa8fda.pth')
