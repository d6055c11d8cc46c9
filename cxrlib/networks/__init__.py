"""Which network, from which weights, how large, and how far does it see? A name in, a `Classifier` out.

`classifier` puts a trunk (`acnn`, torchvision's) under a head (`heads`); `weights` finds the initial weights;
`counting` says what a network is made of, what it costs and how far it sees.
"""
