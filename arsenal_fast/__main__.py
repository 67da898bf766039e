"""``python -m arsenal_fast`` is ``arsenal-fast``."""

import sys

from arsenal_fast.cli.main import main

sys.exit(main())
