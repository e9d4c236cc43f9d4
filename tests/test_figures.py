import io

import pandas as pd
import torch
from PIL import Image

from companion import figures
from companion.models import ram


def size(picture):
    return Image.open(io.BytesIO(picture.data)).size


def test_pictures_are_pngs_with_alternative_text():
    images, boxes = torch.rand(3, 20, 20), torch.tensor([[2.0, 3.0, 9.0, 12.0]]).expand(3, 4)
    runs = pd.DataFrame({"variant": ["ram-2", "ram-4", "random-2", "fc-256"], "error": [4.0, 2.0, 9.0, 3.0]})
    drawn = [
        figures.boxed_images(images, boxes, ["a 1", "a 2", "a 3"], columns=2),
        figures.density(torch.rand(50, 3, 2) * 2 - 1, "where"),
        figures.by_glimpses(runs, "error", "error, %", "Error"),
    ]
    for picture in drawn:
        assert min(size(picture)) > 80 and len(picture.data) < 100_000
        assert len(picture.alt) > 10
    assert "random locations" in drawn[2].alt and "fc" not in drawn[2].alt


def test_the_source_shown_is_the_file_imported():
    assert figures.source(ram).data.count("\nclass RAM(nn.Module):") == 1
