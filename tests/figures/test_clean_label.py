import pandas as pd
import pytest

from certssb_core.figures.clean_label import success


def test_a_pair_of_bars_per_attack_with_its_interval():
    table = pd.DataFrame(
        {
            "attack": ["A", "A"],
            "defence": ["none", "diffusion denoising"],
            "success": [0.75, 0.0],
            "low": [0.3, 0.0],
            "high": [0.95, 0.49],
            "count": [3, 0],
            "n": [4, 4],
        }
    )
    bare, defended = success(table).data
    assert (list(bare.y), list(defended.y)) == ([75], [0])
    assert bare.error_y.array[0] == pytest.approx(20)
    assert defended.error_y.array[0] == pytest.approx(49)
