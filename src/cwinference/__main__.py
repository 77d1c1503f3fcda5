"""`python -m cwinference` is the command `cwinference`."""

import sys

from ._main import main

sys.exit(main())
