"""What can a network learn besides the disease: images it has seen before, and marks of where an image was taken?

`overlap` counts what crosses from training to test, from the manifest alone. `sample` draws images for probes, `regions`
covers parts of them, `probes` measures what is left, `external` trains on some collections and tests on others, `confounding`
does the same on phantoms whose truth is known, and `answer` puts the results into sentences.
"""
