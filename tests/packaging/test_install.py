"""The set-up: when it has nothing to do, what it will not touch, how it fails and stops."""
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import install
import pytest
from console import SetupError, exclusive, run
from install import STACKS, Environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path):
    """A checkout with the files that decide what an environment holds."""
    shutil.copytree(ROOT / 'requirements', tmp_path / 'requirements')
    (tmp_path / 'mmxattn').mkdir()
    for name in ('setup.py', 'pyproject.toml', 'mmxattn/version.py'):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def finished(root) -> Environment:
    """An environment that was set up to the end."""
    environment = Environment('openmmlab', root)
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    environment.stamp.write_text(environment.inputs())
    return environment


def test_a_finished_environment_is_ready(finished):
    assert finished.ready()


@pytest.mark.parametrize('name', ['requirements/base.txt', 'requirements/environment/openmmlab.txt', 'setup.py',
                                  'requirements/install.py', 'mmxattn/version.py'])
def test_a_changed_input_makes_it_stale(finished, root, name):
    with open(root / name, 'a') as file:
        file.write('\n# changed\n')
    assert not finished.ready()


def test_it_is_not_ready_before_the_end(finished):
    finished.stamp.unlink()
    assert not finished.ready()


def test_a_moved_checkout_is_set_up_again(finished, root, tmp_path_factory):
    moved = tmp_path_factory.mktemp('moved') / 'checkout'
    root.rename(moved)
    assert not Environment('openmmlab', moved).ready()


def test_the_stacks_share_no_folder():
    assert len({stack.folder for stack in STACKS.values()}) == len(STACKS)


def test_a_folder_of_somebody_else_stays(root):
    environment = Environment('openmmlab', root)
    environment.folder.mkdir()
    (environment.folder / 'mine').touch()
    with pytest.raises(SetupError, match='was not made by this set-up'):
        environment.create(lock=None)
    assert [path.name for path in environment.folder.iterdir()] == ['mine']


def test_a_torch_of_numpy_1_is_refused_before_anything_is_installed(root, monkeypatch):
    environment = Environment('openmmlab', root)
    monkeypatch.setattr(install, '_works', lambda python, code: True)
    monkeypatch.setattr(install, 'probe', lambda python: dict(torch='2.1.2+cu121', gpu_ops=False))
    with pytest.raises(SetupError, match=r'torch 2\.1\.2\+cu121, compiled against NumPy 1.*2\.3 or newer'):
        environment.fill(lock=None)


def test_a_failing_command_shows_its_end_and_names_its_log(tmp_path, capfd):
    log = tmp_path / 'log' / 'step.log'
    with pytest.raises(SetupError, match=f'exit status 3.*{log}'):
        run([sys.executable, '-c', 'print("the cause"); raise SystemExit(3)'], log, lambda seconds: 'trying')
    said = capfd.readouterr()
    assert 'trying' in said.out
    assert 'the cause' in said.err


INTERRUPTED = '''
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from console import run
run(['bash', '-c', f'sleep 600 & echo $! > {sys.argv[2]}/child; wait'], Path(sys.argv[2]) / 'log', lambda s: 'sleeping')
'''


def test_an_interrupt_leaves_no_compiler_behind(tmp_path):
    parent = subprocess.Popen([sys.executable, '-c', INTERRUPTED, str(ROOT / 'requirements'), str(tmp_path)],
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
                              stderr=subprocess.DEVNULL)
    child = wait_for(lambda: (tmp_path / 'child').exists() and (tmp_path / 'child').read_text().strip())
    parent.send_signal(signal.SIGINT)
    assert parent.wait(timeout=30) != 0
    wait_for(lambda: not alive(int(child)))


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody has waited for does not."""
    answer = subprocess.run(['ps', '-o', 'stat=', '-p', str(pid)], capture_output=True, text=True)
    return answer.stdout.strip()[:1] not in ('', 'Z')


def wait_for(condition, seconds=20):
    """What ``condition`` returns once it is true; fails after ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    pytest.fail('it did not happen in time')


WAITING = '''
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from console import exclusive
with exclusive(Path(sys.argv[2])):
    print('got it', flush=True)
'''


def test_a_second_set_up_waits_and_says_so(tmp_path):
    path = tmp_path / 'some.lock'
    with exclusive(path):
        second = subprocess.Popen([sys.executable, '-c', WAITING, str(ROOT / 'requirements'), str(path)],
                                  stdout=subprocess.PIPE, text=True)
        assert 'waiting for another set-up' in second.stdout.readline()
        assert second.poll() is None
    assert second.communicate(timeout=20)[0].strip() == 'got it'
