"""Evaluate a checkpoint: `mim test mmxattn CONFIG --checkpoint FILE` or `python tools/test.py CONFIG FILE`."""
from mmxattn.cli.test import main

if __name__ == '__main__':
    main()
