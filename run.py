"""`python run.py [serve|say|bench] …`"""

import signal
import sys

# Until the command handles it, Ctrl-C ends the process without a traceback from an import.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from streaming_server.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
