"""The setup: what makes an environment outdated, and how it fails and stops."""
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import install
import pytest
from console import SetupError, file_lock, run
from install import Environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path):
    """A checkout with the files that determine the environment."""
    shutil.copytree(ROOT / 'requirements', tmp_path / 'requirements')
    (tmp_path / 'mmxattn').mkdir()
    for name in ('setup.py', 'pyproject.toml', 'mmxattn/version.py'):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def environment(root) -> Environment:
    """An environment that is up to date."""
    environment = Environment('openmmlab', root)
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    environment.stamp.write_text(environment.inputs_hash())
    return environment


@pytest.mark.parametrize('name', ['requirements/base.txt', 'requirements/environment/openmmlab.txt', 'setup.py',
                                  'requirements/install.py', 'mmxattn/version.py'])
def test_changed_inputs_make_the_environment_outdated(environment, root, name):
    assert environment.is_ready()
    with open(root / name, 'a') as file:
        file.write('\n# changed\n')
    assert not environment.is_ready()


def test_interrupted_setup_and_moved_checkout_are_not_ready(environment, root, tmp_path_factory):
    moved = tmp_path_factory.mktemp('moved') / 'checkout'
    shutil.copytree(root, moved)
    assert not Environment('openmmlab', moved).is_ready()
    environment.stamp.unlink()
    assert not environment.is_ready()


def test_foreign_folder_is_not_touched(root):
    environment = Environment('openmmlab', root)
    environment.folder.mkdir()
    (environment.folder / 'mine').touch()
    with pytest.raises(SetupError, match='was not created by this setup'):
        environment.create(lock=None)
    assert [path.name for path in environment.folder.iterdir()] == ['mine']


def test_torch_for_numpy_1_is_rejected_before_anything_is_installed(root, monkeypatch):
    monkeypatch.setattr(install, '_works', lambda python, code: True)
    monkeypatch.setattr(install, 'probe', lambda python: dict(torch='2.1.2+cu121', gpu_ops=False))
    with pytest.raises(SetupError, match=r'torch 2\.1\.2\+cu121, compiled against NumPy 1.*2\.3 or newer'):
        Environment('openmmlab', root).install_packages(lock=None)


def test_failed_command_prints_the_end_of_its_log(tmp_path, capfd):
    log_file = tmp_path / 'log' / 'step.log'
    with pytest.raises(SetupError, match=f'exit status 3.*{log_file}'):
        run([sys.executable, '-c', 'print("the cause"); raise SystemExit(3)'], log_file, lambda seconds: 'trying')
    captured = capfd.readouterr()
    assert 'trying' in captured.out and 'the cause' in captured.err


INTERRUPTED = '''
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from console import run
run(['bash', '-c', f'sleep 600 & echo $! > {sys.argv[2]}/child; wait'], Path(sys.argv[2]) / 'log', lambda s: 'sleeping')
'''


def test_interrupt_stops_the_children_of_a_command(tmp_path):
    parent = subprocess.Popen([sys.executable, '-c', INTERRUPTED, str(ROOT / 'requirements'), str(tmp_path)],
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
                              stderr=subprocess.DEVNULL)
    child = wait_for(lambda: (tmp_path / 'child').exists() and (tmp_path / 'child').read_text().strip())
    parent.send_signal(signal.SIGINT)
    assert parent.wait(timeout=30) != 0
    wait_for(lambda: not is_running(int(child)))


def is_running(pid: int) -> bool:
    answer = subprocess.run(['ps', '-o', 'stat=', '-p', str(pid)], capture_output=True, text=True)
    return answer.stdout.strip()[:1] not in ('', 'Z')


def wait_for(condition, seconds=20):
    """Return the result of ``condition`` as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    pytest.fail('timed out')


WAITING = '''
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from console import file_lock
with file_lock(Path(sys.argv[2])):
    print('got it', flush=True)
'''


def test_second_setup_waits_with_a_message(tmp_path):
    path = tmp_path / 'some.lock'
    with file_lock(path):
        second = subprocess.Popen([sys.executable, '-c', WAITING, str(ROOT / 'requirements'), str(path)],
                                  stdout=subprocess.PIPE, text=True)
        assert 'waiting for another setup' in second.stdout.readline()
        assert second.poll() is None
    assert second.communicate(timeout=20)[0].strip() == 'got it'
