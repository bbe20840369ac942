"""Pictures of rocks: characters, colours, and a film of a game."""

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
    return colors[screen].repeat(zoom, axis=0).repeat(zoom, axis=1)


def film(screens: np.ndarray, scores: np.ndarray, num_rocks: int) -> np.ndarray:
    """Draws a recorded game, with score and step above each screen.

    Args:
      screens: [frames, size, size] int8: 0 empty, 1 a rock, 2 the paddle.
      scores: [frames] integers. Rocks caught less rocks missed up to each frame.
      num_rocks: The number of rocks in the whole game.

    Returns:
      [frames, height, width, 3] uint8.
    """
    caught, missed = (
        (120, 224, 130),
        (240, 84, 96),
    )  # when a rock lands
    size = screens.shape[1]
    zoom, header = max(1, 320 // size), 36
    font = ImageFont.load_default(size=18)
    frames = []
    for step, (screen, score) in enumerate(zip(screens, scores, strict=True)):
        change = score - scores[max(0, step - 1)]
        now = caught if change > 0 else missed if change < 0 else PADDLE
        pixels = picture(screen, zoom, paddle=now)
        frame = Image.new("RGB", (size * zoom, size * zoom + header), (44, 47, 66))
        frame.paste(Image.fromarray(pixels), (0, header))
        draw = ImageDraw.Draw(frame)
        middle, right = header // 2, size * zoom - 10
        draw.text((10, middle), f"score {score} of {num_rocks}", "white", font, "lm")
        draw.text((right, middle), f"step {step}", "white", font, "rm")
        frames.append(np.asarray(frame))
    return np.stack(frames)
