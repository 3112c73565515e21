"""The recipe that ``recipe new`` writes: complete, commented, and sound as it stands."""

import re
from string import Template

EXAMPLE_DOCUMENT = """\
# Opening hours

This is an example, so that the recipe can be built as it stands. Put your own documents in its place.

We are open from Tuesday to Saturday, 10:00 to 18:00, and closed on public holidays.
"""

_TEXT = Template('''\
# A recipe for publicai-edge. Check it:  publicai-edge recipe check THIS-FILE
# Will it run on the kiosk?              publicai-edge plan THIS-FILE --device NAME
# Build it:                              publicai-edge build THIS-FILE

[bundle]
name = "$name"
version = "1.0.0"
release = 1                       # raise it with every bundle you hand out
languages = ["en"]                # every table of words below needs each of these

[bundle.title]
en = "$title"

[steward]
name = "$title"
contact = "kiosk@example.org"     # where a patron can turn to

[steward.ask_a_person]
en = "Please ask at the desk."

[model]
name = "Qwen2.5-1.5B-Instruct"
source = "hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF/qwen2.5-1.5b-instruct-q4_0.gguf"
revision = "main"                 # the lock file pins the commit
license = "Apache-2.0"
license_url = "https://huggingface.co/Qwen/Qwen2.5-1.5B-Instruct"

[quantize]
type = "keep"                     # or "auto", from a 16-bit original: the smallest that passes [quality]

[embedding]
name = "paraphrase-multilingual-MiniLM-L12-v2"
source = "hf:sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2/"
revision = "main"
license = "Apache-2.0"
license_url = "https://huggingface.co/sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
max_tokens = 128

[knowledge]
documents = ["documents"]         # txt, md, html, pdf, docx, epub
license = "Our own documents"
top = 3
min_relevance = 0.3               # below this cosine a passage is no answer

[target]
ram_gb = 8
disk_gb = 8
context = 4096

[[services]]
id = "ask"
search = true
max_tokens = 256

[services.title]
en = "Ask about the library"

[services.description]
en = "Answers from the library's own documents."

[services.prompt]
en = """
You answer questions of library patrons. Use only the passages you are given. \\
If they do not hold the answer, say so. Answer in one to three short sentences."""

[policy]
licenses = ["Apache-2.0", "MIT"]  # model licences this institution accepts
session_minutes = 10
''')


def new_recipe(title: str) -> str:
    """Return the text of a new recipe for the place called ``title``."""
    clean = " ".join(title.replace("\\", " ").split()).replace('"', "'") or "Our Library"
    name = re.sub(r"[^a-z0-9]+", "-", clean.lower()).strip("-") or "library"
    return _TEXT.substitute(name=name, title=clean)
