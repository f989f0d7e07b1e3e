"""`produce.py` with `--side consume`."""

import sys

from produce import main

sys.argv[1:1] = ["--side", "consume"]
main()
