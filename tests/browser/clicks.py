"""Clicks, counted: how far a task is from the page where it begins."""

from playwright.sync_api import Locator, Page, expect

_NAME, _TICK = 80, 17  # from the left of a table: its boxes to tick are as wide as rows are high
_ROW = 35


def settle(page: Page) -> None:
    """Wait until the app has drawn the whole page: what is clicked while it draws may be of the page before.

    After something that makes it draw, wait for an effect of that first: until the server answers, it looks as before.
    Three of ten clicks of a form's button 0.2 s after its page began to be drawn again came to nothing.
    """
    expect(page.get_by_test_id("stApp").and_(page.locator("[data-test-script-state=notRunning]"))).to_be_visible()


class Clicks:
    """Clicks, and counts them.

    Attributes:
        count: so far; typing is none.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self.count = 0

    def button(self, name: str) -> None:
        """The button of that name."""
        self.on(self._page.get_by_role("button", name=name))

    def on(self, target: Locator, **place: object) -> None:
        """Anything, when the page is drawn."""
        settle(self._page)
        target.click(**place)  # type: ignore[arg-type]
        self.count += 1

    def name_in(self, table: Locator, row: int = 0) -> None:
        """The name in a row of a table, which is drawn in one piece."""
        self._cell(table, _NAME, row)

    def tick(self, table: Locator, row: int) -> None:
        """The box before a row."""
        self._cell(table, _TICK, row)

    def _cell(self, table: Locator, x: int, row: int) -> None:
        expect(table).to_be_visible()
        self.on(table.locator("canvas").first, position={"x": x, "y": _ROW * (row + 1.5)}, force=True)
