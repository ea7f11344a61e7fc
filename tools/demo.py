"""Train a stock model and the same model with a module of mmxattn on digit scenes, and compare them."""
import os

# Idle OpenMP threads spin by default, which slows down other processes. libgomp reads this when torch is imported.
os.environ.setdefault('GOMP_SPINCOUNT', '4000')

from mmxattn.cli.demo import main

if __name__ == '__main__':
    main()
