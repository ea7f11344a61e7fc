"""Command line of the layer benchmark."""

import json
import sys

import pytest

from benchmarks import bench_layers, layer_benchmark


@pytest.fixture
def run(monkeypatch):
    """Run the tool in this process, with fixed peak rates."""
    peak = layer_benchmark.PeakRates(1e10, 1e10)
    monkeypatch.setattr(layer_benchmark, 'measure_peak_rates', lambda device, dtype: peak)

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['bench_layers', *map(str, arguments)])
        bench_layers.main()

    return run


def test_command_prints_and_saves_the_results_of_one_case(run, tmp_path, capsys):
    file = tmp_path / 'layers.json'
    run('--layers', 'SCSA', '--only', '512x7x7', '--turns', 2, '--budget', 1, '--json', file)
    output = capsys.readouterr().out
    for text in ('reference /', 'SCSA 32x512x7x7', 'inference', 'training step', 'bytes_per_second', 'threads'):
        assert text in output
    report = json.loads(file.read_text())
    assert {'torch', 'python', 'device', 'threads', 'timer', 'clock_mhz', 'dtype'} <= set(report['environment'])
    assert all(rate > 0 for rate in report['peak_rates'].values())
    assert [result['training'] for result in report['results']] == [False, True]
    for result in report['results']:
        assert result['error'] < 2e-3 and len(result['eager']['seconds']) == len(result['reference']['seconds']) == 2


@pytest.mark.parametrize('arguments, message', [
    (('--layers', 'ABC'), "must be among SCSA, FINE, CFSAM, CLA, got 'ABC'"),
    (('--scaling', '--layers', 'SCSA'), "must be among CFSAM, CLA, got 'SCSA'"),
    (('--only', 'nowhere'), "'nowhere' must be part of a title"),
    (('--json', 'missing/layers.json'), 'The folder of layers.json must exist'),
])
def test_invalid_arguments_give_a_message(run, arguments, message):
    with pytest.raises(SystemExit, match=message):
        run(*arguments)


def test_ctrl_c_keeps_results(run, monkeypatch, tmp_path, capsys):
    original = layer_benchmark.bench_layers

    def interrupted(*args, **kwargs):
        yield next(original(*args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(layer_benchmark, 'bench_layers', interrupted)
    file = tmp_path / 'layers.json'
    with pytest.raises(SystemExit, match='Stopped'):
        run('--layers', 'SCSA', '--only', '512x7x7', '--turns', 2, '--budget', 1, '--json', file)
    output = capsys.readouterr().out
    assert 'inference' in output and 'training step' not in output
    assert [result['training'] for result in json.loads(file.read_text())['results']] == [False]
