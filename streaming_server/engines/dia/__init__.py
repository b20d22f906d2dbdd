"""Dia-1.6B in PyTorch: many streams at once, one frame per step. Requires only torch, numpy and safetensors;
uses triton where it is installed.
"""
