"""Train a config to completion, resuming an interrupted run.

mmengine's Runner trains in a separate process (training_process.py), so that no model, registry or random state affects
the next training run. This module starts that process, shows its progress and keeps its log.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from mmengine.config import Config
from tqdm import tqdm

RESULT = 'result.json'  # written last, so a folder that has it is complete
PROGRESS = '@progress '  # prefix of output lines that update the progress bar and are not logged


@dataclass(frozen=True)
class Training:
    """Result of a training run.

    Attributes:
        metrics: Metrics of the final evaluation under the toolbox's names, such as ``coco/bbox_mAP`` or ``mIoU``.
        seconds: Training time over all resumed runs, including data loading but not evaluation.
        iterations: Number of training steps.
        checkpoint: Path of the final weights.
    """

    metrics: dict
    seconds: float
    iterations: int
    checkpoint: str


def train(cfg: Config, folder: Path, title: str) -> Training:
    """Train a config, or load the result of a finished training.

    Args:
        cfg: Config to train.
        folder: Folder for checkpoints, logs and the result; one per config.
        title: Name of the training in error messages.

    Returns:
        The result of the training.

    Raises:
        ValueError: If the training fails. The message contains the last line of the log and its path.
    """
    finished = load_finished_training(folder)
    if finished is not None:
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / f'{Path(cfg.filename).stem}.py'
    cfg.dump(config)
    log_file = folder / 'console.log'
    status, last_line = _run_process(config, folder, log_file)
    finished = load_finished_training(folder)
    if status != 0 or finished is None:
        raise ValueError(f'Training {title} failed with exit status {status}: {last_line!r}. The log is in {log_file}; '
                         f'run the same command again to resume from the last checkpoint.')
    return finished


def load_finished_training(folder: Path) -> Training | None:
    """Load the result of a training from its folder, or return None if it has not finished."""
    try:
        result = json.loads((folder / RESULT).read_text())
    except FileNotFoundError:
        return None
    checkpoint = folder / Path(result['checkpoint']).name  # the folder may have been moved
    return Training(**{**result, 'checkpoint': str(checkpoint)}) if checkpoint.is_file() else None


def find_last_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint to resume from, or None.

    The file ``last_checkpoint`` may name a checkpoint that no longer exists, as mmengine removes old checkpoints before
    it writes a new one.
    """
    pointer = folder / 'last_checkpoint'
    if not pointer.is_file():
        return None
    checkpoint = folder / Path(pointer.read_text().strip()).name
    return checkpoint if checkpoint.is_file() else None


def _run_process(config: Path, folder: Path, log_file: Path) -> tuple[int, str]:
    """Run the training process; return its exit status and the last line of its output."""
    command = [sys.executable, '-m', 'mmxattn.comparison.training_process', str(config), str(folder)]
    with open(log_file, 'a') as file, _progress_bar() as bar:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
            env={**os.environ, 'PYTHONUNBUFFERED': '1'})
        try:
            last_line = _follow(process.stdout or [], file, bar)
        except BaseException:  # Ctrl-C reaches the child only if both run in the same terminal
            process.terminate()
            raise
        finally:
            status = process.wait()
    return status, last_line


def _progress_bar() -> tqdm:
    interval = 0.5 if sys.stderr.isatty() else 15  # seconds; fewer updates if the output goes to a file
    columns = shutil.get_terminal_size().columns  # tqdm hides the bar if the terminal reports no height
    return tqdm(unit='step', mininterval=interval, smoothing=0.05, ncols=columns, nrows=20,
                bar_format='  {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps, {remaining} left{postfix}')


def _follow(lines: Iterable[str], file: TextIO, bar: tqdm) -> str:
    """Send progress lines to the bar and other lines to the log; return the last line that is not empty."""
    last_line = 'no output'
    for line in lines:
        if line.startswith(PROGRESS):
            _update_bar(bar, **json.loads(line[len(PROGRESS):]))
            continue
        file.write(line)
        file.flush()
        last_line = line.strip() or last_line
    return last_line


def _update_bar(bar: tqdm, done: int, total: int, note: str) -> None:
    if bar.total is None:
        bar.reset(total)
        bar.initial = bar.n = bar.last_print_n = done - 1  # steps of an earlier run do not count toward the speed
    bar.set_postfix_str(note, refresh=False)
    bar.update(done - bar.n)
