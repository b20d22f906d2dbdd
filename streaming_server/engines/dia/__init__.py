"""Dia-1.6B in PyTorch: many voices at once, a frame at a time. Needs torch, numpy and safetensors alone."""
