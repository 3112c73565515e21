"""A trial from its first question to its last; it can be cut short at any point, and keeps what it has."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime

from publicai_edge.bundle.install.layout import tag_of
from publicai_edge.bundle.open import Bundle
from publicai_edge.bundle.questions import Questions
from publicai_edge.errors import BundleError
from publicai_edge.kiosk.trial.asking import Asker
from publicai_edge.kiosk.trial.result import Line, Trial, judge
from publicai_edge.progress import Progress


class Attempt:
    """A trial under way; ``trial`` is what is known of it so far.

    Args:
        bundle: whose services are tried.
        questions: what they are asked.
        machine: the machine in a few words.
        url: the kiosk to ask; None starts one.
        start: starts a kiosk of the bundle for as long as its block runs, and yields its address.
    """

    def __init__(
        self,
        bundle: Bundle,
        questions: Questions,
        machine: str,
        url: str | None,
        start: Callable[[], AbstractContextManager[str]],
    ) -> None:
        manifest = bundle.manifest
        self._questions = questions.questions
        self._url = url
        self._start = start
        self.trial = Trial(
            when=datetime.now().astimezone().isoformat(timespec="seconds"),
            bundle=manifest.name,
            version=manifest.version,
            digest=tag_of(bundle.root),
            title=next(iter(manifest.title.values())),
            model=f"{manifest.model.name}, {manifest.model.quantization}",
            machine=machine,
            url=url,
            planned=len(self._questions),
            lines=(),
        )

    def run(self, progress: Progress) -> Trial:
        """Ask every question; return the whole trial.

        Raises:
            HostError: no kiosk answers, or not any more.
            BundleError: the kiosk serves another bundle.
            EngineError: the model cannot be used.
        """
        with nullcontext(self._url) if self._url else self._start() as url:
            asker = Asker(url)
            self._refuse_another(asker)
            asker.wait_ready()
            with progress.task("Asking", total=len(self._questions), unit="items") as task:
                for question in self._questions:
                    self._add(judge(question, asker.ask(question)))
                    task.advance(1)
        return self.trial

    def _add(self, line: Line) -> None:
        self.trial = replace(self.trial, lines=(*self.trial.lines, line))

    def _refuse_another(self, asker: Asker) -> None:
        about = asker.about()
        serves = (str(about.get("name")), str(about.get("version")))
        if serves != (self.trial.bundle, self.trial.version):
            raise BundleError(
                f"The kiosk at {asker.url} serves {' '.join(serves)}, and the questions are those of "
                f"{self.trial.bundle} {self.trial.version}.",
                hint="Give the bundle that it serves, or leave --url out: then this one is started for the test.",
            )
