"""Optional packages of the datasets."""
import pytest

from mmxattn.datasets.digit_scenes import scene
from mmxattn.datasets.extras import import_extra


def test_missing_package_reports_the_install_command():
    with pytest.raises(ImportError, match=r"Charts requires absent-package. Run: pip install 'mmxattn\[demo\]'"):
        import_extra('absent_package', 'absent-package', 'Charts')


def test_digit_scenes_without_scikit_learn_report_the_install_command(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'sklearn.datasets', None)
    scene.load_digits.cache_clear()
    with pytest.raises(ImportError, match='requires scikit-learn'):
        scene.load_digits()
