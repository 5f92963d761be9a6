"""Colors: few, apart, and the same for a model in every figure."""

from __future__ import annotations

from llavit_lens.figures.style import COLORS, TINT, color_of, model_colors


def test_a_variant_of_the_demo_keeps_its_color() -> None:
    both = model_colors(["demo:baseline", "demo:llavit"])
    assert both == model_colors(["demo:llavit", "demo:baseline"])
    assert model_colors(["llavit", "separate_qkv"])["llavit"] == both["demo:llavit"]
    assert model_colors(["some/model", "demo:llavit"])["demo:llavit"] == both["demo:llavit"]


def test_a_folder_called_as_a_variant_has_another_color_than_the_variant() -> None:
    alone = model_colors(["demo:llavit"])["demo:llavit"]
    for names in (["llavit", "demo:llavit"], ["demo:llavit", "llavit"]):
        colors = model_colors(names)
        assert colors["demo:llavit"] == alone != colors["llavit"]


def test_other_models_have_colors_of_their_own_while_there_are_enough() -> None:
    names = ["demo:baseline", *map(str, range(len(COLORS) - 1))]
    assert sorted(model_colors([*names, *names]).values()) == sorted(COLORS)
    assert len(set(model_colors(map(str, range(24))).values())) == 24
    assert color_of(len(COLORS)) == color_of(0)


def test_the_image_is_seen_under_the_surest_words() -> None:
    assert max(TINT(value / 8)[3] for value in range(9)) <= 0.351
