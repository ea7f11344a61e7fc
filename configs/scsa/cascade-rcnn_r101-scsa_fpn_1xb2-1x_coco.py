_base_ = './cascade-rcnn_r101-scsa_fpn_1x_coco.py'
# Training settings of the paper (Sec. 4.1): one GPU with two images and the corresponding learning rate.
optim_wrapper = dict(optimizer=dict(lr=0.0025))
auto_scale_lr = dict(base_batch_size=2)
