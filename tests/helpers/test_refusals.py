import signal
import time

import pytest
from refusals import limited


def test_what_hangs_fails_and_what_ends_passes():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(pytest.fail.Exception, match='Not done after 0.05 s'), limited(.05):
        time.sleep(30)
    with limited(.05):
        pass
    time.sleep(.1)
    assert signal.getsignal(signal.SIGALRM) is before
