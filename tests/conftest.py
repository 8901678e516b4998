"""What holds for every test."""

import os
import signal

from hypothesis import HealthCheck, settings

# How long an example takes says more about what else runs on the machine than about the code.
settings.register_profile("pocketcoder", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pocketcoder")

# The keyring of who runs the tests is not theirs. What they start inherits this.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"

# A shell's background job ignores Ctrl-C, and so would all that the tests start: some of it is ended just so.
signal.signal(signal.SIGINT, signal.default_int_handler)
