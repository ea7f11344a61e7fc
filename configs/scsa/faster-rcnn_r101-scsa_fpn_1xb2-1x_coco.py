_base_ = './faster-rcnn_r101-scsa_fpn_1x_coco.py'
# The paper's run: one GPU, 2 images, the learning rate that goes with it (Sec. 4.1).
optim_wrapper = dict(optimizer=dict(lr=0.0025))
auto_scale_lr = dict(base_batch_size=2)
