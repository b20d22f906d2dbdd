"""Natural English by hibari, every other language by eSpeak NG, in one worker."""
