"""Table, law and plan made readable: text, figures, and the page."""
