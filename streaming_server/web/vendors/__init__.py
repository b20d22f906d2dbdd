"""Other vendors' protocols, each translated to the server's own contexts."""
