"""What holds for every test."""

import os
import signal

from hypothesis import HealthCheck, settings

# How long an example takes says more about what else runs on the machine than about the code.
settings.register_profile("pocketcoder", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pocketcoder")

# What belongs to who runs the tests is not theirs: a home, git's configuration, settings, proxies, a keyring, a umask.
# What they start inherits this.
for _name in tuple(os.environ):
    if _name.startswith(("GIT_", "POCKETCODER_", "XDG_")) or _name.lower().endswith("_proxy"):
        del os.environ[_name]
os.environ.pop("GATEWAY_URL", None)
os.environ.pop("LOG_LEVEL", None)
os.environ["HOME"] = "/nonexistent"
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
os.umask(0o022)

# A shell's background job ignores Ctrl-C, and so would all that the tests start: some of it is ended just so.
signal.signal(signal.SIGINT, signal.default_int_handler)
