"""Command line of the model benchmark."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import bench_hosts

ROOT = Path(__file__).parents[2]


def test_invalid_arguments_give_a_message(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['bench_hosts', '--only', 'YOLO'])
    with pytest.raises(SystemExit, match="'YOLO' must be part of the name of a model"):
        bench_hosts.main()


@pytest.mark.slow
def test_command_prints_and_saves_the_results_of_one_model(tmp_path):
    file = tmp_path / 'models.json'
    arguments = ['--only', 'patch_size=8', '--turns', '2', '--json', str(file)]
    command = [sys.executable, '-m', 'benchmarks.bench_hosts', *arguments]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    for text in ('with module', 'CLA in SegFormer-B0, 512x512, patch_size=8', 'training step', 'threads'):
        assert text in done.stdout
    inference, training = json.loads(file.read_text())['results']
    assert len(inference['stock']) == len(inference['swapped']) == 2
    assert not inference['training'] and training['training']
    assert 0 < inference['interval'][0] <= inference['ratio']['median'] <= inference['interval'][1]
    assert inference['macs'][0] > 0
