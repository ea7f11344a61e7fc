_base_ = '../segformer_mit-b0_cla_8xb2-160k_ade20k-512x512.py'
model = dict(decode_head=dict(pairs=((2, 3), (1, 2), (0, 1))))
