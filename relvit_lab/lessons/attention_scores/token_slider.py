"""A slider over the tokens of an image, with the picture of the token chosen below it."""

from collections.abc import Callable

import traitlets

from relvit_lab.common.errors import RelvitError
from relvit_lab.show.still import Widget, in_fewer_colours, script
from relvit_lab.show.style import Drawing


class TokenSlider(Widget):
    """draw(token) -> Drawing, for token 0..side * side - 1; drawn anew by the kernel whenever another token is chosen.

    token: the one shown first. side: of the grid; the arrow keys up and down then move by a row, left and right by a
    column. Raises RelvitError for a token outside.
    """

    _esm = script(__file__, "token_slider.js")

    side = traitlets.Int(1).tag(sync=True)
    token = traitlets.Int(0).tag(sync=True)
    picture = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    # of all tokens, for a page without a kernel, else empty: see carry()
    pictures = traitlets.List(traitlets.Bytes()).tag(sync=True)
    alts = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, draw: Callable[[int], Drawing], side: int, token: int = 0):
        if not 0 <= token < side * side:
            raise RelvitError(f"token {token} lies outside the grid of {side} x {side}: 0 to {side * side - 1}")
        self._draw = draw
        super().__init__(side=side, token=token)
        self._redraw()
        self.observe(self._redraw, "token")

    def _redraw(self, _: object = None) -> None:
        drawing = self._draw(self.token)
        with self.hold_sync():  # picture and words change together
            self.picture, self.alt = drawing.png(), drawing.alt

    def carry(self) -> None:
        """Fill `pictures` and `alts`: what a page shows where no kernel draws. In fewer colours, to keep it small."""
        drawings = [self._draw(token) for token in range(self.side**2)]
        with self.hold_sync():
            self.pictures = [in_fewer_colours(drawing.png()) for drawing in drawings]
            self.alts = [drawing.alt for drawing in drawings]

    def in_words(self) -> str:
        return f"(a slider: token j = {self.token}) {self.alt}"

    def still_picture(self) -> Drawing:
        return self._draw(self.token)
