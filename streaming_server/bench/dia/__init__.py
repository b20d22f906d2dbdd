"""How fast Dia is on this machine, beside transformers' `generate` on the same random weights."""
