"""Write the README's reference of the command line anew; a test says when that is due."""

from __future__ import annotations

from pathlib import Path

from friday_store.cli import reference

BEGIN, END = "<!-- reference -->\n", "\n<!-- end of the reference -->"


def main() -> None:
    """Put the tables of ``friday-store help reference`` between their marks."""
    path = Path(__file__).parent.parent / "README.md"
    text = path.read_text()
    before, rest = text.split(BEGIN)
    path.write_text(f"{before}{BEGIN}{reference.markdown()}{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
