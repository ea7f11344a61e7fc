"""How compiled functions are kept."""
import inspect

import pytest

pytest.importorskip('numba')
from mmxattn.ops.compiled import functions, loaded, threads


def test_a_version_is_of_all_code_beside_a_file(tmp_path):
    file = tmp_path / 'loops.py'
    file.write_text('one = 1')
    first = functions.version_of(str(file))
    assert functions.version_of(str(file)) == first
    (tmp_path / 'told.py').write_text('two = 2')
    assert functions.version_of(str(file)) != first


@pytest.mark.skipif(threads.openmp('GOMP_parallel') is None, reason='PyTorch is linked with another OpenMP')
@pytest.mark.parametrize('module', ['fused_attention.loops', 'fused_attention.gradient_loops', 'fused_scsa.cpu_loops'])
def test_what_is_kept_is_kept_by_its_version(module):
    function = loaded(f'mmxattn.layers.{module}').__wrapped__
    version = functions.version_of(inspect.getfile(function))
    assert inspect.getclosurevars(function).nonlocals == {'version': version}
