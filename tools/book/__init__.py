"""What builds the pages: executing the chapters that changed, several at once, and captions of figures (Sphinx extensions)."""
