"""Run the command line: ``python -m mien``."""

import sys

from mien.cli import main

sys.exit(main())
