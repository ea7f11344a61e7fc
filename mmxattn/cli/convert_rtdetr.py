"""Convert released RT-DETR weights (version 1, PyTorch) to a checkpoint for the configs in configs/rtdetr."""
import argparse

from ..models.rtdetr.released_weights import convert_checkpoint
from .errors import exit_on_error

__all__ = ['main']


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='released file, such as rtdetr_r18vd_dec3_6x_coco_from_paddle.pth')
    parser.add_argument('target', help='checkpoint to write, for load_from and mim test')
    args = parser.parse_args()
    with exit_on_error():
        convert_checkpoint(args.source, args.target)


if __name__ == '__main__':
    main()
