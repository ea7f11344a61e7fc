_base_ = '../segformer_mit-b0_cla_8xb2-160k_ade20k-512x512.py'
model = dict(decode_head=dict(patch_size=4))
