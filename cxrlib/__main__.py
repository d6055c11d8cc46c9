"""`python -m cxrlib`; see `cxrlib.cli`."""

import sys

from cxrlib.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
