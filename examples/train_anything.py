"""A network of torchvision, trained without this project on the table that `python -m cxrlib splits` wrote.

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
from torchvision.models import shufflenet_v2_x0_5

STEPS = 400

torch.manual_seed(0)
table = pd.read_csv(sys.argv[1])
pixels = np.stack([np.asarray(Image.open(Path(sys.argv[1]).parent / path)) for path in table["path"]])
x = torch.from_numpy(pixels)[:, None].float().div(255).expand(-1, 3, -1, -1)
y = torch.tensor(table["label"].to_numpy(), dtype=torch.float32)
train = torch.tensor(np.flatnonzero(table["split"] == "train"))
network = shufflenet_v2_x0_5(num_classes=1)
adam = torch.optim.Adam(network.parameters(), 3e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, STEPS)
weight = (1 - y[train].mean()) / y[train].mean()
for batch in torch.randint(len(train), (STEPS, 16)):
    images, labels = x[train[batch]], y[train[batch]]
    loss = nn.functional.binary_cross_entropy_with_logits(network(images)[:, 0], labels, pos_weight=weight)
    adam.zero_grad()
    loss.backward()
    adam.step()
    schedule.step()
with torch.inference_mode():
    probability = torch.cat([network.eval()(part)[:, 0].sigmoid() for part in x.split(64)])
table[["split", "image_id"]].assign(probability=probability).to_csv(sys.argv[2], index=False)
