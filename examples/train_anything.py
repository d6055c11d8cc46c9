"""A small network in plain PyTorch, trained without this project on the table that `python -m cxrlib splits` wrote.

python -m cxrlib splits --images images --out split.csv
python examples/train_anything.py split.csv predictions.csv
python -m cxrlib score predictions.csv --split split.csv
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

EPOCHS = 12

torch.manual_seed(0)
table = pd.read_csv(sys.argv[1])
pixels = np.stack([np.asarray(Image.open(Path(sys.argv[1]).parent / path)) for path in table["path"]])
x = torch.from_numpy(pixels)[:, None].float().div(255)
y = torch.tensor(table["label"].to_numpy(), dtype=torch.float32)
train = torch.tensor(np.flatnonzero(table["split"] == "train"))
layers: list[nn.Module] = []
for before, after in ((1, 16), (16, 32), (32, 64), (64, 64)):
    layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1))
adam = torch.optim.Adam(network.parameters(), 3e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, EPOCHS)
weight = (1 - y[train].mean()) / y[train].mean()
for _ in range(EPOCHS):
    for batch in train[torch.randperm(len(train))].split(32):
        loss = nn.functional.binary_cross_entropy_with_logits(network(x[batch])[:, 0], y[batch], pos_weight=weight)
        adam.zero_grad()
        loss.backward()
        adam.step()
    schedule.step()
with torch.inference_mode():
    probability = torch.cat([network.eval()(part)[:, 0].sigmoid() for part in x.split(64)])
table[["split", "image_id"]].assign(probability=probability).to_csv(sys.argv[2], index=False)
