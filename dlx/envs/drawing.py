"""Pictures of games: rocks as characters and in colour, and films of any game."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PADDLE = (108, 214, 255)


def text(screen: np.ndarray) -> str:
    """Draws a screen with two characters per pixel, inside a frame.

    Args:
      screen: [size, size] int8: 0 empty, 1 a rock, 2 the paddle.
    """
    pixels = np.array([" .", "()", "=="])[screen]
    rim = "+" + "--" * len(screen) + "+"
    return "\n".join([rim, *(f"|{''.join(row)}|" for row in pixels), rim])


def picture(
    screen: np.ndarray, zoom: int = 16, paddle: tuple[int, int, int] = PADDLE
) -> np.ndarray:
    """Draws a screen in colour.

    Args:
      screen: [size, size] int8: 0 empty, 1 a rock, 2 the paddle.
      zoom: Pixels per cell.
      paddle: The paddle's colour.

    Returns:
      [zoom size, zoom size, 3] uint8.
    """
    colors = np.array([(24, 26, 38), (255, 176, 84), paddle], np.uint8)
    return _enlarge(colors[screen], zoom)


def film(screens: np.ndarray, scores: np.ndarray, num_rocks: int) -> np.ndarray:
    """Draws a recorded game, with score and step above each screen.

    Args:
      screens: [frames, size, size] int8: 0 empty, 1 a rock, 2 the paddle.
      scores: [frames] integers. Rocks caught less rocks missed up to each frame.
      num_rocks: The number of rocks in the whole game.

    Returns:
      [frames, height, width, 3] uint8.
    """
    caught, missed = (120, 224, 130), (240, 84, 96)  # when a rock lands
    zoom = _zoom(screens)
    frames = []
    for step, (screen, score) in enumerate(zip(screens, scores, strict=True)):
        change = score - scores[max(0, step - 1)]
        now = caught if change > 0 else missed if change < 0 else PADDLE
        pixels = picture(screen, zoom, paddle=now)
        frames.append(_with_header(pixels, f"score {score} of {num_rocks}", step))
    return np.stack(frames)


def channels(observations: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Draws an episode of a game; each channel of its observations has a colour.

    Args:
      observations: [frames, height, width, channels] float32. Numbers above 0 are
        shown, and later channels cover earlier ones.
      scores: [frames] float32. The sum of rewards up to each frame.

    Returns:
      [frames, height, width, 3] uint8.
    """
    number = observations.shape[-1]
    hues = [colorsys.hsv_to_rgb(0.1 + n / number, 0.6, 1.0) for n in range(number)]
    palette = np.concatenate([[(24, 26, 38)], 255 * np.array(hues)]).astype(np.uint8)
    shown = np.where(observations > 0, np.arange(1, number + 1), 0).max(axis=-1)
    zoom = _zoom(shown)
    return np.stack(
        [
            _with_header(_enlarge(palette[pixels], zoom), f"score {score:.4g}", step)
            for step, (pixels, score) in enumerate(zip(shown, scores, strict=True))
        ]
    )


def _zoom(frames):
    """Pixels per cell, for pictures about 320 pixels high or wide."""
    return max(1, 320 // max(frames.shape[1:3]))


def _enlarge(pixels, zoom):
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _with_header(pixels, score, step):
    """A frame with score and step above the picture."""
    height, width, _ = pixels.shape
    header, font = 36, ImageFont.load_default(size=18)
    frame = Image.new("RGB", (width, height + header), (44, 47, 66))
    frame.paste(Image.fromarray(pixels), (0, header))
    draw = ImageDraw.Draw(frame)
    draw.text((10, header // 2), score, "white", font, "lm")
    draw.text((width - 10, header // 2), f"step {step}", "white", font, "rm")
    return np.asarray(frame)
