"""`python -m cwinference` is the command `cwinference`."""

import sys

from ._cli.main import main

sys.exit(main())
