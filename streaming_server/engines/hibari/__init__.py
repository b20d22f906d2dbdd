"""Natural English speech from the `hibari-tts` package's model, streamed inside a sentence."""
