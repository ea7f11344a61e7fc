_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'

model = dict(neck=dict(type='mmxattn.FINEFPN'))
