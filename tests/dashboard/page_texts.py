"""What a page under test says."""

from streamlit.testing.v1 import AppTest


def texts(elements: object) -> str:
    """The values of some elements of a page, a line each, without the escapes that keep Markdown away."""
    return "\n".join(element.value for element in elements).replace("\\", "")  # type: ignore[attr-defined]


def errors(app: AppTest) -> str:
    """The page's error messages; an exception is none of them."""
    assert not app.exception
    return texts(app.error)
