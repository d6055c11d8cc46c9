"""Tests of what the article prints."""
