"""A box in which a reader types a question about a picture; it needs a kernel."""

from collections.abc import Callable, Sequence

from IPython.display import DisplayObject, display
from ipywidgets import BoundedIntText, Combobox, HBox, Output, VBox


class QuestionBox(VBox):
    """Asks whenever the picture or the question has changed, and shows the reply below.

    Args:
        ask: takes a picture's number and a question to what is shown; a ValueError is shown as its sentence.
        pictures: how many there are.
        suggestions: questions that are offered while the reader types, at least one; the first is asked at
            once, and any other may be.
    """

    def __init__(
        self, ask: Callable[[int, str], DisplayObject], pictures: int, suggestions: Sequence[str]
    ) -> None:
        self.ask = ask
        self.number = BoundedIntText(0, min=0, max=pictures - 1, description="picture")
        self.question = Combobox(
            value=suggestions[0], options=[*suggestions], description="question", continuous_update=False
        )
        self.question.layout.width = "32em"
        self.reply = Output()
        for part in (self.number, self.question):
            part.observe(self.answer, "value")
        super().__init__([HBox([self.number, self.question]), self.reply])
        self.answer()

    def __repr__(self) -> str:  # what a page without a kernel shows
        return "<a box for questions of your own; it needs a running kernel>"

    def answer(self, *_: object) -> None:
        """Ask what stands in the box."""
        self.reply.clear_output(wait=True)
        with self.reply:
            try:
                display(self.ask(self.number.value, self.question.value))
            except ValueError as error:
                print(error)
