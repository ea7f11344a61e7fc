"""Convert released RT-DETR weights: `mim run mmxattn convert_rtdetr SOURCE TARGET`."""
from mmxattn.cli.convert_rtdetr import main

if __name__ == '__main__':
    main()
