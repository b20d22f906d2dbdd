"""`python run.py [serve|say|bench] …`"""

import sys

from streaming_server.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
