_base_ = './rtmdet_s_8xb32-300e_visdrone-800x800.py'
model = dict(neck=dict(type='FINECSPNeXtPAFPN'))
