"""Train a config: `mim train mmxattn CONFIG` or `python tools/train.py CONFIG`."""
from mmxattn.cli.train import main

if __name__ == '__main__':
    main()
