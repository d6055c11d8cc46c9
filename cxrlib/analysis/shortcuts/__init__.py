"""What a network can learn besides the disease: images it has seen before, and marks of where an image was taken.

`overlap` counts what crosses from training to test, `sample` draws the images of the live probes, `regions` covers parts
of them, `features` and `probes` measure what is left, `external` trains here and tests there, `dose` does the same on
phantoms whose confounding is known, and `answer` puts the chapter's answer into two sentences.
"""
