_base_ = './yolox_s_8xb8-300e_visdrone-800x800.py'
model = dict(neck=dict(type='FINEYOLOXPAFPN'))
