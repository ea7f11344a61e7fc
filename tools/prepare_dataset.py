"""Convert a dataset: `mim run mmxattn prepare_dataset DATASET` or `python tools/prepare_dataset.py DATASET`."""
from mmxattn.cli.prepare_dataset import main

if __name__ == '__main__':
    main()
