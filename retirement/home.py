"""Where this installation keeps its files."""

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """The folder of this installation: RETIREMENT_HOME, else the platform's user data folder."""
    chosen = os.environ.get("RETIREMENT_HOME")
    folder = Path(chosen).expanduser() if chosen else platformdirs.user_data_path("openedx-retirement")
    return folder.resolve()
