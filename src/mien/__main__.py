"""Run the command line: ``python -m mien``."""

import sys

if not sys.flags.safe_path and sys.path:
    del sys.path[0]  # the working directory: what lies beside recordings is never imported

from mien.cli import main

sys.exit(main())
