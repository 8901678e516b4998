"""What holds for every test."""

import os

from hypothesis import HealthCheck, settings

# How long an example takes says more about what else runs on the machine than about the code.
settings.register_profile("pocketcoder", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pocketcoder")

# The keyring of who runs the tests is not theirs. What they start inherits this.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
