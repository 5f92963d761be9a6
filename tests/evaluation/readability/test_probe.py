"""Ceiling and floor: the linear probe against its formula in float64, and untrained weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_image
from tiny_vlm import LAYERS, WIDTH, tiled_vlm, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled.labelled_images import LabelledImage, LabelledObject
from llavit_lens.evaluation.readability.probe import Probe
from llavit_lens.evaluation.readability.readability import readability
from llavit_lens.evaluation.readability.untrained import untrained
from llavit_lens.inputs import DEFAULT_PROMPT


def drawn(n: int, seed: int, spread: float) -> tuple[torch.Tensor, list[str]]:
    """States [2, n, 6] about a center for each of three names, and the names."""
    centers = np.random.default_rng(7).normal(0, 1, (2, 3, 6))
    rng = np.random.default_rng(seed)
    number = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    states = centers[:, number] + rng.normal(0, spread, (2, n, 6)) * [1, 1, 3, 1, 1, 0.1]
    return torch.tensor(states, dtype=torch.float32), [f"name {i}" for i in number]


def discriminant(
    states: torch.Tensor, names: list[str], asked: torch.Tensor, shrinkage: float
) -> np.ndarray:
    """Fisher's, of one state, written out in float64: which name each asked token gets."""
    x, z = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for rows in (states.double().numpy(), asked.double().numpy())
    )
    label = np.array([int(name[-1]) for name in names])
    means = np.stack([x[label == c].mean(0) for c in range(3)])
    within = (x - means[label]).T @ (x - means[label]) / len(x)
    shrunk = within + shrinkage * np.trace(within) / 6 * np.eye(6)
    scores = [
        -0.5 * np.einsum("nd,de,ne->n", z - m, np.linalg.inv(shrunk), z - m)
        + np.log((label == c).mean())
        for c, m in enumerate(means)
    ]
    return np.argmax(scores, axis=0)


def test_the_probe_is_the_discriminant_of_its_formula() -> None:
    (states, names), (asked, _) = drawn(300, 0, 0.8), drawn(100, 1, 0.8)
    probe = Probe()
    for start in range(0, 300, 37):  # in parts, as pictures come
        probe.add(states[:, start : start + 37], names[start : start + 37])
    probe.solve()
    found = probe.predict(asked).numpy()
    assert probe.names == ["name 0", "name 1", "name 2"]
    for state in range(2):
        expected = discriminant(states[state], names, asked[state], 0.1)
        assert (found[state] == expected).mean() > 0.99  # float32 ties
    assert 0.5 < np.mean(found[0] == [int(name[-1]) for name in drawn(100, 1, 0.8)[1]]) < 1


def test_the_covariance_is_shrunk_by_a_tenth() -> None:
    """Of few training tokens, half or twice as much, or nothing, would give other names."""
    (states, names), (asked, _) = drawn(30, 0, 0.8), drawn(4000, 1, 0.8)
    probe = Probe()
    probe.add(states, names)
    probe.solve()
    found = probe.predict(asked).numpy()
    for state in range(2):
        agreement = {
            shrinkage: (
                found[state] == discriminant(states[state], names, asked[state], shrinkage)
            ).mean()
            for shrinkage in (0.0, 0.05, 0.1, 0.2)
        }
        assert agreement.pop(0.1) > 0.999  # float32 ties
        assert max(agreement.values()) < 0.995, agreement


def test_a_probe_needs_two_names() -> None:
    probe = Probe()
    probe.add(torch.ones(1, 4, 3), ["dog"] * 4)
    with pytest.raises(ConfigurationError, match="two names"):
        probe.solve()


def test_states_that_are_all_the_same_can_be_solved() -> None:
    probe = Probe()
    probe.add(torch.ones(1, 4, 3), ["dog", "dog", "dog", "cat"])
    probe.solve()
    assert probe.predict(torch.ones(1, 2, 3)).shape == (1, 2)


def pictures(count: int, seed: int) -> list[LabelledImage]:
    """Left halves bright or dark, with that name, on noise."""
    made = []
    for number in range(count):
        image = tiny_image(seed * 1000 + number, 28, 28)
        mask = np.zeros((28, 28), bool)
        mask[:, :14] = True
        pixels = np.asarray(image).copy()
        pixels[mask] = pixels[mask] // 3 + (170 if number % 2 else 0)
        name = "red" if number % 2 else "blue"
        made.append(LabelledImage(Image.fromarray(pixels), (LabelledObject(mask, name),)))
    return made


def test_probes_read_states_and_tower_on_other_pictures() -> None:
    result = readability(tiny_vlm("llavit"), pictures(6, 0), probe=pictures(10, 1))
    assert result.provenance["model"] == result.name == "tiny-llavit"
    assert DEFAULT_PROMPT in result.provenance["prompt"]
    assert "image_sha256" not in result.provenance  # of many images
    table = result.table
    states = table[table["measure"].eq("probe")]
    tower = table[table["measure"].eq("probe_tower")]
    assert states["layer"].tolist() == list(range(LAYERS + 1))
    assert len(tower) == 1 and tower["layer"].isna().all()
    assert (states["value"] > 0.9).all() and (tower["value"] > 0.9).all()
    assert tower["chance"].iloc[0] == pytest.approx(0.5, abs=0.1)
    assert set(table["model"]) == {"tiny-llavit"}


def test_tiles_have_no_probe_of_the_tower() -> None:
    table = readability(tiled_vlm("spatial"), pictures(3, 0), probe=pictures(4, 1)).table
    assert "probe" in set(table["measure"]) and "probe_tower" not in set(table["measure"])


@pytest.mark.long
@pytest.mark.parametrize("family", ["llava", "llavit"])
def test_only_the_tower_is_kept_of_an_untrained_model(family: str) -> None:
    vlm = tiny_vlm(family)
    before = {key: value.clone() for key, value in vlm.model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = (untrained(vlm, seed=seed) for seed in (8, 8, 9))
    assert torch.equal(torch.rand(1), expected)  # nobody else's random numbers change
    assert first.name == f"tiny-{family} (untrained)"
    kept = set()
    for key, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[key])
        assert torch.equal(vlm.model.state_dict()[key], before[key])
        if "vision_tower" in key:
            kept.add(key)
            assert torch.equal(value, before[key])
        elif value.ndim == 2:
            assert not torch.equal(value, before[key]), key
            visual = key.replace("_proj.", "_proj_visual.")
            if visual != key and visual in first.model.state_dict():
                assert torch.equal(value, first.model.state_dict()[visual])
    assert kept
    head = "lm_head.weight"
    assert not torch.equal(first.model.state_dict()[head], other.model.state_dict()[head])
    assert first.trace(tiny_image()).hidden.shape == (LAYERS + 1, 16, WIDTH)
