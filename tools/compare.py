"""Compare configs: `mim run mmxattn compare BASELINE.py CANDIDATE.py` or `python tools/compare.py ...`."""
import os

# Idle OpenMP threads spin by default, which slows down other processes. libgomp reads this when torch is imported.
os.environ.setdefault('GOMP_SPINCOUNT', '4000')

from mmxattn.cli.compare import main

if __name__ == '__main__':
    main()
