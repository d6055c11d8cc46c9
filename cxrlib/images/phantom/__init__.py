"""Phantoms: synthetic chest-radiograph-like images with a known truth, in place of radiographs not at hand.

Line integrals through a simple anatomy with a finding of known extent (`anatomy`), exposure, display and an
acquisition site's signature (`acquisition`), and the text that names each image (`spec`).
"""

from cxrlib.images.phantom.acquisition import masks, render, sites
from cxrlib.images.phantom.spec import FINDINGS, PhantomSpec, default_spec

__all__ = ["FINDINGS", "PhantomSpec", "default_spec", "masks", "render", "sites"]
