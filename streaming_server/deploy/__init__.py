"""Deployment of many servers as one: a gateway in front, and the schedulers above."""
