_base_ = './faster-rcnn_r18-w32_fpn64_digits.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# Smaller than in the paper, for two CPU cores. The residual avoids a slow start of the proposals.
model = dict(neck=[
    {{_base_.model.neck}},
    dict(type='CFSAMNeck', in_channels=[64] * 5, channels=64, depth=1, tokens_per_part=256, residual=True)
])
