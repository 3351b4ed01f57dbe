"""``python -m lenetjax``: the command line."""

import sys

from lenetjax.cli import main

sys.exit(main())
