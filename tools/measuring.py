"""What tools/bench_layers.py and tools/bench_hosts.py share: how they end, and how they keep what is measured."""
import sys

__all__ = ['check_folder', 'command', 'recorded']


def command(run, args):
    """Run a tool: wrong words and Ctrl-C end it in a sentence, and not in a traceback."""
    try:
        run(args)
    except KeyboardInterrupt:
        sys.exit('\nStopped. What is above was measured to its end.')
    except ValueError as error:
        sys.exit(f'{error}')


def check_folder(file):
    """Raise a ValueError where a file that is to be written has no folder."""
    if file and not file.parent.is_dir():
        raise ValueError(f'There is no folder {file.parent} for {file.name}: make it first.')


def recorded(measured, results, file, **about):
    """Pass measurements on, each once it is in ``results`` and, with all before it, in a file."""
    from mmxattn.analysis.files import write_json  # here, for it takes seconds to import
    for result in measured:
        results.append(result)
        if file:
            write_json(file, dict(about, results=[own.to_dict() for own in results]))
        yield result
