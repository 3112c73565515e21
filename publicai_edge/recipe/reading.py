"""What a recipe says of how passages are read: for every question, or once, with what was computed used again."""

from typing import Annotated, Literal

from pydantic import Field

from publicai_edge.recipe.fields import Table


class Reading(Table):
    """Whether the passages of the documents are read again for every question."""

    composition: Literal["exact", "shifted", "recomputed", "auto"] = "exact"
    """"exact": every passage is read for every question. "shifted": the kiosk reads each passage once, when nobody \
waits, keeps what was computed on its disk, and moves it to its place when it is found, so that an answer begins many \
times sooner; passages no longer see each other. "recomputed": the same, with the first words of each passage read \
again in their place, which costs a little time and loses less. "auto": the build asks the recipe's questions both \
ways, and takes what saves time only if it stays within max_loss in each language."""
    recomputed_tokens: Annotated[int, Field(ge=1, le=128)] = 64
    """For "recomputed": how many tokens of each passage that is."""
    max_loss: Annotated[float, Field(gt=0)] = 0.05
    """For "auto": largest mean KL divergence along the answers, in nats per token, to those with every passage read; \
and no fewer of the expected facts may be stated, in any language."""
    bundle_mb: Annotated[int, Field(ge=0, le=100_000)] = 64
    """How much the bundle may carry of passages that are read at build time: those that the recipe's own questions \
find. With 0 the kiosk reads all of them itself."""
    disk_mb: Annotated[int, Field(ge=16, le=100_000)] = 512
    """Disk that the kiosk may take for it, in MB. A passage of 250 tokens takes 3 MB with a model of 1.5 billion \
parameters."""
