"""Diagnose an installation: installed versions, what works, and known issues of these versions.

This package uses only the standard library, since it must run where torch or a toolbox cannot be imported. The checks
import them in a process of their own (``checks.py``).
"""
import argparse
import json
import sys

from .diagnosis import Diagnosis, diagnose

__all__ = ['Diagnosis', 'diagnose', 'main']

DESCRIPTION = """\
Report installed versions, whether they work together, and known issues of these versions with their workarounds.

Checks torch, compiled operators, the toolboxes, mmxattn's components, Numba, CUDA, Triton and ONNX, as far as they are
installed. The exit code is 0 if everything works and 1 otherwise.
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog='mim run mmxattn doctor', description=DESCRIPTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true', help='print the diagnosis as JSON')
    args = parser.parse_args()
    try:
        diagnosis = diagnose((lambda line: None) if args.json else (lambda line: print(line, flush=True)))
    except KeyboardInterrupt:
        sys.exit('\nStopped.')
    if args.json:
        print(json.dumps(diagnosis.to_dict(), indent=1))
    sys.exit(1 if diagnosis.problems else 0)
