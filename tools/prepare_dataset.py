"""Convert a dataset: `mim run mmxattn prepare_dataset NAME --source FOLDER`, or `python tools/prepare_dataset.py`."""
from mmxattn.cli.prepare_dataset import main

if __name__ == '__main__':
    main()
