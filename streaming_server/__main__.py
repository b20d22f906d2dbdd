"""`python -m streaming_server` is `python run.py`."""

import sys

from streaming_server.cli.main import main

sys.exit(main(sys.argv[1:]))
