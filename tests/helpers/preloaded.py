"""Import what servers import, in the process that `forked` forks them from."""

import gc

import streaming_server.cli.main
import streaming_server.storage.sqlite
import streaming_server.web.server  # noqa: F401

# A server collects garbage when it starts; that would copy all pages of what was imported.
gc.collect()
gc.freeze()
