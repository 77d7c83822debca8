"""Assembly lines: checked when they are saved, run over frames in a few passes, in batch and over HTTP alike."""
