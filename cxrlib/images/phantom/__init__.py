"""Synthetic chest-radiograph-like images with a known truth: the study's phantoms.

Line integrals through a simple anatomy (`anatomy`), a finding of known extent (`findings`), a detector
(`detector`) and an acquisition-site signature (`site`) that can be confounded with the label (`spec`).
"""

from cxrlib.images.phantom.render import masks, montage, render
from cxrlib.images.phantom.spec import PhantomSpec, default_spec, images

__all__ = ["PhantomSpec", "default_spec", "images", "masks", "montage", "render"]
