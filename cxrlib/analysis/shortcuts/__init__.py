"""What can a network learn besides the disease: images it has seen before, and marks of where an image was taken?

`overlap` counts what sources share. `sample` draws images for probes, `probes` measures what is left of them where parts are
covered, on phantoms of known truth too, and `external` trains on some collections and tests on others.
"""
