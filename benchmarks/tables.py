"""A benchmark's figures as a Markdown table."""

from __future__ import annotations


def print_table(title: str, head: list[str], rows: list[list[str]], note: str = "") -> None:
    """Print a heading, the table and what has to be known to read it."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "|".join(" --- " for _ in head) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    if note:
        print(f"\n{note}")


def met(value: float, budget: float) -> str:
    """Say whether a figure keeps its budget."""
    return "met" if value <= budget else "**missed**"
