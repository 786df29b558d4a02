"""The provider's program: `python -m outlay_terraform`, started by Terraform."""

import sys

from outlay_terraform.provider import new_lifecycle
from outlay_terraform.wire.process import run

if __name__ == "__main__":
    sys.exit(run(new_lifecycle))
