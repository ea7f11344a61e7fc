_base_ = './_base_/rtmdet_s_visdrone-800x800.py'
