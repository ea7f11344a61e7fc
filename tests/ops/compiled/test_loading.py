"""Where compiled functions are to be had, and where not."""
import pytest

from mmxattn.ops.compiled import loading

pytest.importorskip('numba')


@pytest.fixture(autouse=True)
def fresh():
    loading.loaded.cache_clear()
    yield
    loading.loaded.cache_clear()


@pytest.fixture
def module(monkeypatch):
    """A module with a compiled function, in whose place stands what it was asked."""

    class Module:

        @staticmethod
        def compiled(keep):
            return f'keep={keep}'

    monkeypatch.setattr(loading, 'import_module', lambda name: Module)
    return Module


def test_is_kept_on_disk_and_asked_for_once(module, monkeypatch):
    if loading.openmp('GOMP_parallel') is None:
        pytest.skip('PyTorch is linked with another OpenMP')
    assert loading.loaded('loops') == 'keep=True'
    monkeypatch.setattr(module, 'compiled', None)
    assert loading.loaded('loops') == 'keep=True'


def test_compiled_each_time_where_it_cannot_be_kept(module, monkeypatch):
    if loading.openmp('GOMP_parallel') is None:
        pytest.skip('PyTorch is linked with another OpenMP')

    def compiled(keep):
        if keep:
            raise RuntimeError('cannot cache function: no locator available')
        return 'compiled'

    monkeypatch.setattr(module, 'compiled', compiled)
    assert loading.loaded('loops') == 'compiled'


def test_none_without_openmp(module, monkeypatch):
    monkeypatch.setattr(loading, 'openmp', lambda name: None)
    assert loading.loaded('loops') is None


def test_none_where_the_module_does_not_import(monkeypatch):
    assert loading.loaded('mmxattn.ops.compiled.no_such_module') is None
