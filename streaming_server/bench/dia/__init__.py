"""Measure Dia on this machine beside transformers' `generate` on the same random weights."""
