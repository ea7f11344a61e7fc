#!/usr/bin/env python
"""Write the weights of RT-DETR's own release (version 1, PyTorch) as a checkpoint for the recipes in configs/rtdetr."""
import argparse
import sys

from mmxattn.models.rtdetr.released import convert


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help="the release's file, such as rtdetr_r18vd_dec3_6x_coco_from_paddle.pth")
    parser.add_argument('target', help='the checkpoint to write, for load_from and mim test')
    arguments = parser.parse_args()
    try:
        convert(arguments.source, arguments.target)
    except ValueError as error:
        sys.exit(str(error))


if __name__ == '__main__':
    main()
