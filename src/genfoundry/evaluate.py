"""`python -m genfoundry.evaluate`: how commits of every age are asked to run a champion of theirs on a split."""

from __future__ import annotations

import sys

from genfoundry.errors import UserError
from genfoundry.evaluation.predict import main as main

if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
