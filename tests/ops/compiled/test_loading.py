"""Compiling kernels, and reporting that they cannot run."""
import pytest

from mmxattn.ops.compiled import loading

pytest.importorskip('numba')
needs_gomp = pytest.mark.skipif(loading.openmp_function('GOMP_parallel') is None,
                                reason='PyTorch is linked with another OpenMP runtime')


@pytest.fixture(autouse=True)
def clear_cache():
    loading.load_kernel.cache_clear()
    yield
    loading.load_kernel.cache_clear()


@pytest.fixture
def module(monkeypatch):
    """Replace the imported module with one whose kernel is the value of ``cache``."""
    class Module:
        calls = []

        @classmethod
        def compile_kernel(cls, cache):
            cls.calls.append(cache)
            return f'cache={cache}'

    monkeypatch.setattr(loading, 'import_module', lambda name: Module)
    return Module


@needs_gomp
def test_compiles_once_with_cache(module):
    assert [loading.load_kernel('kernels'), loading.load_kernel('kernels')] == ['cache=True'] * 2
    assert module.calls == [True]


@needs_gomp
def test_compiles_without_cache_if_no_directory_is_writable(module, monkeypatch):
    def compile_kernel(cache):
        if cache:
            raise RuntimeError('cannot cache function: no locator available')
        return 'compiled'

    monkeypatch.setattr(module, 'compile_kernel', compile_kernel)
    assert loading.load_kernel('kernels') == 'compiled'


def test_none_without_openmp(module, monkeypatch):
    monkeypatch.setattr(loading, 'openmp_function', lambda name: None)
    assert loading.load_kernel('kernels') is None


def test_none_if_module_cannot_be_imported():
    assert loading.load_kernel('mmxattn.ops.compiled.no_such_module') is None
