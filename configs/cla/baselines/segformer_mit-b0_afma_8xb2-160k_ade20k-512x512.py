_base_ = __import__('mmseg').__path__[0] + '/.mim/configs/segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(type='ImageEncoderDecoder', decode_head=dict(type='AFMASegformerHead'))
