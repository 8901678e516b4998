"""``pocketcoder`` with the scripted agent in place of Claude Code: for tests that kill the daemon.

The ids of the turns that the agent was given are in the file that SCRIPTED_AGENT_DIARY names.
"""

import os
from pathlib import Path

from host import features
from host.cli.main import main
from tests.support.scripted_agent import ScriptedAgent


def _scripted(*_: object) -> ScriptedAgent:
    return ScriptedAgent(diary=Path(os.environ["SCRIPTED_AGENT_DIARY"]))


if __name__ == "__main__":
    vars(features)["ClaudeAgent"] = _scripted
    main()
