"""From a folder of images and a CSV table to a trained model, the checks on it, and a report."""
