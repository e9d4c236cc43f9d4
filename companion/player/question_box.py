"""A box in which a reader types a question about a picture; it needs a kernel."""

import base64
from collections.abc import Callable, Sequence
from html import escape

from IPython.display import Image
from ipywidgets import HTML, BoundedIntText, Combobox, HBox, VBox


class QuestionBox(VBox):
    """Asks whenever the picture or the question has changed, and shows the reply below.

    Args:
        ask: takes a picture's number and a question to a PNG; a ValueError is shown as its sentence.
        pictures: how many there are.
        suggestions: questions that are offered while the reader types, at least one; the first is asked at
            once, and any other may be.
    """

    def __init__(self, ask: Callable[[int, str], Image], pictures: int, suggestions: Sequence[str]) -> None:
        self.ask = ask
        self.number = BoundedIntText(0, min=0, max=pictures - 1, description="picture")
        self.question = Combobox(
            value=suggestions[0], options=[*suggestions], description="question", continuous_update=False
        )
        self.question.layout.width = "32em"
        # an Output widget makes papermill answer while it waits for the cell, and sometimes wait for ever
        self.reply = HTML()
        for part in (self.number, self.question):
            part.observe(self.answer, "value")
        super().__init__([HBox([self.number, self.question]), self.reply])
        self.answer()

    def __repr__(self) -> str:  # what a page without a kernel shows
        return "<a box for questions of your own; it needs a running kernel>"

    def answer(self, *_: object) -> None:
        """Ask what stands in the box."""
        try:
            shown = self.ask(self.number.value, self.question.value)
        except ValueError as error:
            self.reply.value = escape(str(error))
        else:
            png = base64.b64encode(shown.data).decode()
            source = f'style="max-width:100%" src="data:image/png;base64,{png}"'
            self.reply.value = f'<img alt="{escape(shown.alt)}" width="{shown.width}" {source}>'
