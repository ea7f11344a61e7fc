_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/yolox/yolox_s_8xb8-300e_coco.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(neck=dict(type='FINEYOLOXPAFPN'))
