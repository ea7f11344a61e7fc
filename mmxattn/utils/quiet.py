"""Suppress the output of third-party code."""
import contextlib
import io
import logging
from collections.abc import Iterator

from mmengine.logging import MMLogger

__all__ = ['quiet']


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress printed output and log messages below warnings."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
