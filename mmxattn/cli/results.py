"""What tools/bench_layers.py and tools/bench_hosts.py share: how they keep what is measured."""
__all__ = ['check_folder', 'recorded']


def check_folder(file):
    """Raise a ValueError where a file that is to be written has no folder."""
    if file and not file.parent.is_dir():
        raise ValueError(f'There is no folder {file.parent} for {file.name}: make it first.')


def recorded(measured, results, file, **about):
    """Pass measurements on, each once it is in ``results`` and, with all before it, in a file."""
    from mmxattn.utils.atomic_files import write_json  # here, for it takes seconds to import
    for result in measured:
        results.append(result)
        if file:
            write_json(file, dict(about, results=[own.to_dict() for own in results]))
        yield result
