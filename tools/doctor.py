"""Diagnose an installation: `mim run mmxattn doctor` or `python tools/doctor.py`.

This file must be valid Python 3.6 and may not import the package before it has checked the Python version.
"""
import importlib.util
import sys
import types

OLDEST = (3, 10)


def check_python():
    if sys.version_info[:2] < OLDEST:
        found, oldest = ('.'.join(map(str, version)) for version in (sys.version_info[:3], OLDEST))
        sys.exit(f'mmxattn requires Python {oldest} or later, got {found}: create an environment with Python {oldest} '
                 f'to 3.12.')


def import_without_toolboxes():
    """Make ``mmxattn.cli.doctor`` importable without ``import mmxattn``, which imports what the doctor diagnoses."""
    spec = importlib.util.find_spec('mmxattn')
    if spec is None or spec.submodule_search_locations is None:
        sys.exit(f'mmxattn is not installed for {sys.executable}: pip install mmxattn (or -e . in a checkout).')
    package = types.ModuleType('mmxattn')
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules['mmxattn'] = package


if __name__ == '__main__':
    check_python()
    import_without_toolboxes()
    from mmxattn.cli.doctor import main
    main()
