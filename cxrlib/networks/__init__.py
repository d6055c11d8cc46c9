"""Which network, from which weights, how large, and how far does it see? A name in, a `Classifier` out.

`classifier` puts a trunk (`acnn`, torchvision's) under a head (`heads`); `weights` finds the initial weights; `counting`,
`cost` and `receptive_field` say what a network is made of; `unet` is the network that segments lungs.
"""
