"""See whether an installation works: `mim run mmxattn doctor`, or `python tools/doctor.py`."""
import argparse
import importlib.util
import json
import sys
import types

OLDEST = (3, 10)
DESCRIPTION = """\
Tell what is installed, whether it works together, and which known faults these versions have, each with its way around.

Tried are torch, compiled operators, the toolboxes, mmxattn's parts, Numba, CUDA, Triton and ONNX, as far as they are
there. The exit code is 0 where all is well and 1 where something is broken.
"""


def check_python() -> None:
    """Tell an old Python. Every line of this file has to be one that Python 3.6 reads; the package's are not."""
    if sys.version_info[:2] < OLDEST:
        found, oldest = ('.'.join(map(str, version)) for version in (sys.version_info[:3], OLDEST))
        sys.exit(f'Python {found} is older than {oldest}, the oldest for mmxattn: make an environment from Python '
                 f'{oldest} to 3.12.')


def without_toolboxes() -> None:
    """Let ``mmxattn.cli.doctor`` be imported without what ``import mmxattn`` imports: that is what is examined."""
    spec = importlib.util.find_spec('mmxattn')
    if spec is None or spec.submodule_search_locations is None:
        sys.exit(f'mmxattn is not installed for {sys.executable}: pip install mmxattn, or -e . in a checkout.')
    package = types.ModuleType('mmxattn')
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules['mmxattn'] = package


def main() -> None:
    check_python()
    parser = argparse.ArgumentParser(prog='mim run mmxattn doctor', description=DESCRIPTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true', help='print everything as JSON, for programs')
    arguments = parser.parse_args()
    without_toolboxes()
    from mmxattn.cli.doctor import examine
    try:
        examination = examine((lambda line: None) if arguments.json else (lambda line: print(line, flush=True)))
    except KeyboardInterrupt:
        sys.exit('\nStopped.')
    if arguments.json:
        print(json.dumps(examination.to_dict(), indent=1))
    sys.exit(1 if examination.broken else 0)


if __name__ == '__main__':
    main()
