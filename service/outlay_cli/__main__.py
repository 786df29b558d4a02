"""`python -m outlay_cli` is `outlay`, for where the script is not on the PATH."""

import sys

from outlay_cli.main import main

sys.exit(main())
