"""What the weight of Eq. (4) does: the threshold it implies, what it costs, how it is calibrated and chosen."""
