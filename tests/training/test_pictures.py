"""Pictures of samples, pixel by pixel where they are grids."""

import numpy as np
import pytest
import torch
from PIL import Image

from genloss.contracts.dataset import DataSpec
from genloss.training.pictures import draw, grid

GREY = 96


def pixels(image):
    return np.asarray(image)


def spec(shape, kind="image", value_range=(0.0, 1.0)):
    return DataSpec(event_shape=shape, kind=kind, size=10, value_range=value_range)


class TestGrid:
    def test_each_pixel_of_a_sheet(self):
        """Ten images of 40×50, each of one grey: eight in the first row, two in the second."""
        greys = torch.arange(10) / 10
        sheet = pixels(grid(greys.view(10, 1, 1, 1).expand(10, 1, 40, 50), (0.0, 1.0)))
        expected = np.full((2 * 42 + 2, 8 * 52 + 2), GREY, np.uint8)
        for index in range(10):
            top, left = 2 + 42 * (index // 8), 2 + 52 * (index % 8)
            expected[top : top + 40, left : left + 50] = round(25.5 * index)
        assert sheet.dtype == np.uint8
        np.testing.assert_array_equal(sheet, expected)

    def test_pixels_are_where_they_are_in_the_image(self):
        image = torch.zeros(1, 1, 40, 40)
        image[0, 0, 3, 5] = 1.0
        sheet = pixels(grid(image, (0.0, 1.0)))
        assert sheet[2 + 3, 2 + 5] == 255
        assert (sheet[2:42, 2:42] != 0).sum() == 1

    def test_small_images_are_enlarged_by_a_whole_factor(self):
        image = torch.tensor([[[[0.0, 1.0], [1.0, 0.5]]]])
        sheet = pixels(grid(image, (0.0, 1.0)))
        assert sheet.shape == (20 * 2 + 4, 8 * (20 * 2 + 2) + 2)
        block = sheet[2:42, 2:42]
        np.testing.assert_array_equal(block, np.kron([[0, 255], [255, 128]], np.ones((20, 20))))

    @pytest.mark.parametrize(("side", "factor"), [(8, 5), (28, 2), (39, 2), (40, 1), (64, 1)])
    def test_the_shorter_side_has_forty_pixels_at_least(self, side, factor):
        sheet = grid(torch.zeros(1, 1, side, side + 1), (0.0, 1.0))
        assert sheet.size == (8 * ((side + 1) * factor + 2) + 2, side * factor + 4)

    def test_values_are_clamped_to_their_range(self):
        image = torch.tensor([-3.0, -1.0, 0.0, 1.0, 2.0]).view(1, 1, 1, 5)
        sheet = pixels(grid(image, (-1.0, 1.0)))
        assert sheet[10, [22, 62, 102, 142, 182]].tolist() == [0, 0, 128, 255, 255]

    def test_colours(self):
        red_and_blue = torch.zeros(2, 3, 40, 40)
        red_and_blue[0, 0] = 1.0
        red_and_blue[1, 2] = 1.0
        sheet = pixels(grid(red_and_blue, (0.0, 1.0)))
        assert sheet.shape == (44, 8 * 42 + 2, 3)
        assert sheet[10, 10].tolist() == [255, 0, 0]
        assert sheet[10, 52].tolist() == [0, 0, 255]
        assert sheet[0, 0].tolist() == [GREY] * 3

    @pytest.mark.parametrize(("channels", "shape"), [(1, ()), (2, ()), (3, (3,)), (4, (3,)), (5, (3,))])
    def test_as_many_channels_as_an_image_can_show(self, channels, shape):
        sheet = pixels(grid(torch.ones(1, channels, 40, 40), (0.0, 1.0)))
        assert sheet.shape == (44, 8 * 42 + 2, *shape)

    def test_tokens_and_gradients_are_drawn_as_well(self):
        levels = torch.tensor([0, 8, 16]).view(1, 1, 1, 3)
        assert pixels(grid(levels, (0, 16)))[10, [10, 60, 100]].tolist() == [0, 128, 255]
        grid(torch.zeros(1, 1, 40, 40, requires_grad=True), (0.0, 1.0))


class TestDraw:
    def test_images_are_a_grid_of_sixty_four(self, tmp_path):
        path = tmp_path / "samples" / "step-7.png"
        samples = torch.rand(70, 1, 8, 8)
        assert draw(samples, spec((1, 8, 8)), path)
        with Image.open(path) as image:
            np.testing.assert_array_equal(pixels(image), pixels(grid(samples[:64], (0.0, 1.0))))
            assert image.format == "PNG"

    def test_images_in_their_range(self, tmp_path):
        path = tmp_path / "samples.png"
        assert draw(torch.full((1, 1, 40, 40), 0.0), spec((1, 40, 40), value_range=(-1.0, 1.0)), path)
        with Image.open(path) as image:
            assert image.getpixel((10, 10)) == 128

    def test_images_without_a_range_are_drawn_from_nought_to_one(self, tmp_path):
        path = tmp_path / "samples.png"
        assert draw(torch.full((1, 1, 40, 40), 0.5), spec((1, 40, 40), value_range=None), path)
        with Image.open(path) as image:
            assert image.getpixel((10, 10)) == 128

    def test_points_in_the_plane_before_the_data(self, tmp_path):
        path = tmp_path / "samples.png"
        data = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        assert draw(torch.tensor([[0.5, 0.5]]), spec((2,), "points"), path, reference=data)
        with Image.open(path) as image:
            assert image.size == (400, 400)
            colours = {colour[:3] for _, colour in image.getcolors(100_000)}
        assert (0x00, 0x72, 0xB2) in colours  # the sample
        assert (191, 191, 191) in colours  # the data

    def test_all_pictures_of_a_run_have_the_same_limits(self, tmp_path):
        """Those of the data; a sample far away does not shrink the others, and does not vanish."""
        data = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        far = torch.tensor([[0.5, 0.5], [1e6, 0.0]])
        draw(far[:1], spec((2,), "points"), tmp_path / "near.png", reference=data)
        draw(far, spec((2,), "points"), tmp_path / "far.png", reference=data)
        with Image.open(tmp_path / "near.png") as near, Image.open(tmp_path / "far.png") as far_away:
            differ = (pixels(near) != pixels(far_away)).any(2)
        down, right = np.nonzero(differ)
        frame = down > 30  # what stands above is the legend, which tells of it
        assert differ[:30].any()
        assert 1 <= frame.sum() < 150
        assert right[frame].min() > 370  # at the right edge, and nowhere else

    def test_points_without_data_and_points_that_are_not_finite(self, tmp_path):
        samples = torch.tensor([[0.5, 0.5], [float("nan"), 1.0], [float("inf"), 0.0]])
        for reference in (None, torch.tensor([[0.0, 0.0], [1.0, 1.0]])):
            path = tmp_path / f"{reference is None}.png"
            assert draw(samples, spec((2,), "points"), path, reference=reference)
            assert path.stat().st_size > 0

    def test_on_any_thread_and_beside_the_users_figures(self, tmp_path):
        import matplotlib.pyplot as plt

        before = plt.get_fignums()
        draw(torch.zeros(1, 2), spec((2,), "points"), tmp_path / "samples.png")
        assert plt.get_fignums() == before

    @pytest.mark.parametrize(("shape", "kind"), [((3,), "points"), ((32,), "tokens"), ((1,), "points")])
    def test_what_cannot_be_drawn(self, tmp_path, shape, kind):
        path = tmp_path / "nothing" / "samples.png"
        assert not draw(torch.zeros(4, *shape), spec(shape, kind), path)
        assert not path.parent.exists()
