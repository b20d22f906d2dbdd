"""A websocket server that speaks while the text is still arriving."""
