"""What a reader must know to trust the numbers as far as they go, and no further."""

from publicai_edge.evaluate.report.languages import names
from publicai_edge.evaluate.result import Quality

_FEW = 10  # documents below which a bootstrap over documents is rough


def notes(quality: Quality) -> tuple[str, ...]:
    """Return the notes: those that follow from the data first, then the ones that came with it."""
    found = []
    if quality.reference_is_quantized and quality.candidates:
        found.append(
            f"The reference, {quality.reference}, was itself quantized once. What the original model would have said "
            "is not known: the losses tell the types apart, not how far each is from the original."
        )
    least: dict[str, int] = {}
    for candidate in quality.candidates:
        for item in candidate.measured.languages:
            least[item.language] = min(item.documents, least.get(item.language, item.documents))
    few = [tag for tag, documents in least.items() if documents < _FEW]
    if few:
        found.append(f"Fewer than {_FEW} documents were read in {names(few)}: the margins there are rough.")
    return (*found, *quality.notes)
