"""Other vendors' protocols, one small file each: translations onto the server's own contexts."""
