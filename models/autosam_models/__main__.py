"""``python -m autosam_models [--json]``: every model with its size."""

import argparse
import json
from dataclasses import asdict

from autosam_models.registry import ModelCard, model_cards


def table(cards: list[ModelCard]) -> str:
    """The cards as a table, parameters in millions."""
    head = f"{'name':<18}{'role':<10}{'parameters':>12}{'trained':>12}  source"
    rows = [
        f"{card.name:<18}{card.role:<10}{card.parameters / 1e6:>10.2f} M{card.trained_parameters / 1e6:>10.2f} M"
        f"  {card.source}"
        for card in cards
    ]
    return "\n".join([head, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m autosam_models", description="List every model with its size.")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    cards = model_cards()
    print(json.dumps([asdict(card) for card in cards]) if parser.parse_args().json else table(cards))


if __name__ == "__main__":
    main()
