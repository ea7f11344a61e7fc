"""Train a stock recipe and the same one with a module of mmxattn on digit scenes, and compare the two."""
import os

# Idle OpenMP threads spin by default, which slows down everything else on a few cores. Read once, when torch is loaded.
os.environ.setdefault('GOMP_SPINCOUNT', '4000')

from mmxattn.cli.demo import main

if __name__ == '__main__':
    main()
