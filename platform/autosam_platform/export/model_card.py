"""``docs/README.md`` of a bundle: the card for people."""

from collections.abc import Iterator

from autosam_inference.bundle.card import BundleCard
from autosam_inference.bundle.contents import OrganScore, RuntimeParity, Scores
from autosam_models.sizes import size_text
from autosam_platform.export.monai_metadata import INTENDED_USE


def readme(card: BundleCard) -> str:
    """The text, as Markdown."""
    return "\n".join(
        [
            f"# {card.run_id}",
            "",
            f"A network ({card.model.name}) that segments {len(card.classes)} organs in CT, exported on "
            f"{card.written_on} by version {card.written_by} of the AutoSAM Adapter platform.",
            "",
            "## What it is for",
            "",
            *([f"**{card.warning}**", ""] if card.warning else []),
            INTENDED_USE,
            "",
            "## Where it fails",
            "",
            *(f"- {each}" for each in card.known_failures),
            "",
            "## How good it is",
            "",
            *_scores(card),
            *_other_scores(card),
            "",
            "## What it was trained on",
            "",
            *_data(card),
            "",
            "## How it was trained",
            "",
            *_settings(card),
            "",
            "## How to run it",
            "",
            *_use(card),
            "",
            "## What the files answer",
            "",
            *_parity(card),
            "",
        ]
    )


def _scores(card: BundleCard) -> Iterator[str]:
    told = card.scores
    if told is None:
        yield "It was never evaluated on cases that it was not trained on."
        return
    yield f"On {told.n_cases} test cases, which it was not trained on, each on its own grid. NSD is the share of the"
    yield f"surface within {told.nsd_tolerance_mm:g} mm. n: cases that the organ has a score in."
    yield ""
    yield from _table(card, told)


def _table(card: BundleCard, told: Scores) -> Iterator[str]:
    yield "| id | organ | Dice % | lowest Dice % | NSD % | HD95 mm | n | not found |"
    yield "|---:|---|---:|---:|---:|---:|---:|---:|"
    for each in card.classes:
        yield f"| {each.id} | {each.name} | {_row(told.organs[each.name])} |"
    yield f"| | mean over organs | {_percent(told.mean_dice)} | | {_percent(told.mean_nsd)} | | | |"


def _other_scores(card: BundleCard) -> Iterator[str]:
    for each in card.other_scores:
        cases = f"{'synthetic ' if each.synthetic else ''}case{'' if each.n_cases == 1 else 's'}"
        yield ""
        yield f"### On {each.dataset}, another dataset"
        yield ""
        yield f"On {each.n_cases} {cases} ({each.split}, fingerprint {each.fingerprint}), each on its own grid; NSD"
        yield f"within {each.nsd_tolerance_mm:g} mm."
        yield ""
        yield from _table(card, each)


def _row(organ: OrganScore) -> str:
    hd95 = "–" if organ.hd95_mm is None else f"{organ.hd95_mm:.1f}"
    figures = (_percent(organ.dice), _percent(organ.lowest_dice), _percent(organ.nsd), hd95, organ.n, organ.not_found)
    return " | ".join(map(str, figures))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f}"


def _data(card: BundleCard) -> Iterator[str]:
    data = card.training_data
    if data is not None:
        counts = ", ".join(f"{count} {split}" for split, count in data.cases.items() if count)
        yield f"{data.title} ({counts or 'number of cases unknown'}). Licence of the data: {data.licence}."
    low, high = card.hu_window
    yield f"Scans were resampled to {size_text(card.spacing_xyz)} mm (x, y, z), and HU outside {low} to {high} clipped."
    for name, value in card.lineage.items():
        yield f"- {name}: {value}"


def _settings(card: BundleCard) -> Iterator[str]:
    yield f"What differs from the defaults of version {card.versions.get('autosam_platform', 'unknown')}, and the seed:"
    yield ""
    for name, value in card.settings.items():
        yield f"- {name}: {value}"


def _use(card: BundleCard) -> Iterator[str]:
    yield "With the wheel `autosam_adapter_platform` of whoever made this (it is not on PyPI, and needs no torch), and"
    yield "this folder or its zip as BUNDLE:"
    yield ""
    yield "    autosam-predict BUNDLE SCAN.nii.gz --output FOLDER"
    yield ""
    yield "With MONAI (`pip install monai nibabel safetensors einops fire`), in this folder:"
    yield ""
    yield "    python -m monai.bundle run --config_file configs/inference.json --image SCAN.nii.gz --output_dir FOLDER"
    yield ""
    yield "`models/model.xml` and `.bin` are for OpenVINO (weights in fp16), `models/model.onnx` for ONNX Runtime,"
    yield f"`models/model.safetensors` for torch. Windows have {size_text(card.patch)} voxels (depth, height, width)."
    yield "`configs/card.json` has the hash of every file, and the codes of the organs (SNOMED CT)."


def _parity(card: BundleCard) -> Iterator[str]:
    yield "Compared with torch in fp32, by the files as they are here:"
    yield ""
    yield "| runtime | labels computed in | largest difference of a logit (fp32) | equal labels % | Dice, points |"
    yield "|---|---|---:|---:|---:|"
    for name, each in card.parity.items():
        yield f"| {name} | {each.format} | {each.logits:.1e} of {each.largest_logit:.1f} | {_agreement(each)} |"


def _agreement(parity: RuntimeParity) -> str:
    if parity.labels is None or parity.dice is None:
        return "no scan to compare | –"
    return f"{100 * parity.labels:.3f} ({parity.scans} scans) | {parity.dice:+.3f}"
