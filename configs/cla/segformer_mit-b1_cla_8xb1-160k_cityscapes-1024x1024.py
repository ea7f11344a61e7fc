_base_ = __import__('mmseg').__path__[0] + '/.mim/configs/segformer/segformer_mit-b1_8xb1-160k_cityscapes-1024x1024.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(decode_head=dict(type='CLASegformerHead'))
