"""What is minimised? Logits [B, 2] and labels [B] in, a scalar out.

`weighted`: Eqs. (1) to (4) and the released code's loss, each once. `alternatives`: the published losses for unbalanced
classes, and any loss by its name in a config.
"""
