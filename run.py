"""`python run.py [serve|say|bench] …`"""

import sys

from streaming_server.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
