_base_ = './faster-rcnn_r18-w32_fpn64_digits.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# smaller than the paper's for two CPU cores; the residual spares the proposals a slow start
model = dict(neck=[
    {{_base_.model.neck}},
    dict(type='CFSAMNeck', in_channels=[64] * 5, channels=64, depth=1, tokens_per_part=256, residual=True)
])
