"""The commands, `lpt-train` and the others, thin; nothing else imports them.

A command's module imports at its top what its arguments need. What works, and with it PyTorch, is
imported in the function that works, within `at_once`: help and a mistyped flag need none of it.
"""

import sys
from pathlib import Path

from lpt.cli.ending import end_at_once

# A command's own process, by its script or as `python -m lpt.cli.NAME`: what is imported next may
# take seconds. Whoever only imports a command from Python keeps their own Ctrl-C.
if Path(sys.argv[0] if sys.argv else "").name.startswith(("lpt-", "-m")):
    end_at_once()
