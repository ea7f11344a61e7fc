_base_ = './_base_/yolox_s_visdrone-800x800.py'
