"""A judge that is a language model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fairpo._checks import FairPOWarning, build_settings
from fairpo.data.cache import cache_folder
from fairpo.generation.judges.answers import StoredResponses
from fairpo.generation.judges.client import Answer, ChatClient, read_answer
from fairpo.generation.judges.endpoint import Endpoint
from fairpo.generation.judges.judge import TIE, check_texts
from fairpo.generation.judges.pace import Pace
from fairpo.generation.judges.question import question, read_verdict
from fairpo.generation.texts import Message, Text

WHY_SKIPPED = {
    "unanswered": "got no answer",
    "refused": "were refused",
    "not_asked": "were not sent, since the endpoint was down",
    "nonsense": "got an answer without a verdict",
}

COUNTS = (
    *("judged", "skipped", "disagreements", "requests", "retries", "answers", "cached"),
    *WHY_SKIPPED,
    *("prompt_tokens", "completion_tokens"),
)


class LLMJudgeSettings(BaseModel):
    """Options of a language model as a judge. URL and key are none: the environment has them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1, description="Name of the model, as the endpoint knows it.")
    temperature: float | None = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="0 for the likeliest answer; None sends none, for models that refuse one.",
    )
    max_tokens: int | None = Field(
        16,
        ge=1,
        description="Longest answer; None sends none, for models that think aloud first.",
    )
    timeout: float = Field(
        60.0, gt=0, allow_inf_nan=False, description="Seconds until a reply must be here, whole."
    )
    tries: int = Field(5, ge=1, description="How often a request is sent before it is skipped.")
    first_wait: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds before a request is sent again, doubled at each further time.",
    )
    longest_wait: float = Field(
        60.0,
        ge=0,
        allow_inf_nan=False,
        description="Most seconds between two tries, also where the server asks for more.",
    )
    requests_per_minute: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Most requests a minute; None for no limit."
    )
    parallel: int = Field(4, ge=1, le=256, description="Requests that are under way at a time.")
    give_up_after: int = Field(
        5,
        ge=1,
        description="Requests in a row without an answer after which nothing more is sent.",
    )
    cache_dir: Path | None = Field(
        None,
        description="Folder of the responses; None for judge/ in the cache folder (FAIRPO_CACHE).",
    )


class LLMJudge:
    """Ask a language model which of two completions is better by an attribute.

    Every pair is asked about in both orders, and the verdict is the mean of the two: a model that
    always prefers what it reads first gives ties. Where one of the two answers is missing or is
    no verdict, the pair is skipped (NaN), since the other one alone would carry the bias.

    Parameters
    ----------
    model : str
        Name of the model, as the endpoint knows it.
    descriptions : mapping from attribute to str, optional
        What an attribute means, in words the model reads in place of its name.
    **options
        See :class:`LLMJudgeSettings`.

    Attributes
    ----------
    name : str
        ``llm:<model>``.
    counts : dict from str to int
        Since it was built. Pairs: ``judged``, ``skipped``, ``disagreements`` (the two orders
        differ). Requests: ``cached`` (the answer was on disk), ``nonsense`` (an answer without a
        verdict), and what :class:`~fairpo.generation.judges.client.ChatClient` counts.
        ``prompt_tokens`` and ``completion_tokens`` are what was paid for: none for ``cached``.

    Raises
    ------
    FairPOValueError
        A faulty option, or no URL in ``FAIRPO_JUDGE_URL`` or ``OPENAI_BASE_URL``. A key is taken
        from ``FAIRPO_JUDGE_KEY`` or ``OPENAI_API_KEY``.

    Notes
    -----
    The prompt and both completions are sent to the endpoint, and kept in the cache as plain text.
    Two completions that are the same text tie without a request. Equal requests are sent once.
    """

    def __init__(
        self, model: str, *, descriptions: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        self.settings = build_settings(LLMJudgeSettings, {"model": model, **options})
        self.name = f"llm:{model}"
        self._descriptions = dict(descriptions or {})
        self._endpoint = Endpoint.from_environment()
        folder = self.settings.cache_dir or cache_folder() / "judge"
        self._stored = StoredResponses(folder, self._endpoint.url)
        self._pace = Pace(
            self.settings.requests_per_minute, self.settings.first_wait, self.settings.longest_wait
        )
        self._client = ChatClient(
            self._endpoint,
            self._pace,
            timeout=self.settings.timeout,
            tries=self.settings.tries,
            longest_wait=self.settings.longest_wait,
            give_up_after=self.settings.give_up_after,
        )
        self._of_pairs: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """What was asked, answered, skipped and paid for since the judge was built."""
        return {name: self._client.counts[name] + self._of_pairs[name] for name in COUNTS}

    def compare(
        self,
        prompts: Sequence[Text],
        first: Sequence[str],
        second: Sequence[str],
        attribute: str,
    ) -> NDArray[np.float64]:
        """Compare two completions of each prompt, in both orders; see :meth:`Judge.compare`.

        Returns
        -------
        float64 array, shape (n,)
            0, 0.25, 0.5, 0.75 or 1; NaN where there is no verdict in one of the orders.

        Raises
        ------
        FairPOValueError
            Different numbers of texts, or an endpoint that refuses key, path or model.
        FairPOFileError
            The cache cannot be written.

        Warns
        -----
        FairPOWarning
            Pairs were skipped; says why.
        """
        check_texts(prompts, first, second)
        before = self.counts
        meaning = self._descriptions.get(attribute, attribute)
        asked = [row for row in range(len(prompts)) if first[row] != second[row]]
        different = [(prompts[row], first[row], second[row]) for row in asked]
        orders = [
            *(question(meaning, prompt, one, other) for prompt, one, other in different),
            *(question(meaning, prompt, other, one) for prompt, one, other in different),
        ]
        there, back = np.split(self._verdicts([self._request(order) for order in orders]), 2)
        verdicts = np.full(len(prompts), TIE)
        verdicts[asked] = (there + (1.0 - back)) / 2.0
        skipped = int(np.isnan(verdicts).sum())
        self._of_pairs["judged"] += len(prompts) - skipped
        self._of_pairs["skipped"] += skipped
        self._of_pairs["disagreements"] += int((np.abs(there + back - 1.0) > 0).sum())
        if skipped:
            self._warn(skipped, len(prompts), before)
        return verdicts

    def _request(self, messages: list[Message]) -> dict[str, Any]:
        sent = {"temperature": self.settings.temperature, "max_tokens": self.settings.max_tokens}
        return {
            "model": self.settings.model,
            "messages": messages,
            **{name: value for name, value in sent.items() if value is not None},
        }

    def _verdicts(self, requests: list[dict[str, Any]]) -> NDArray[np.float64]:
        """Verdicts of requests, NaN where there is none; equal requests are sent once."""
        self._stored.prepare()
        self._pace.resume()
        names = [self._stored.name(request) for request in requests]
        found: dict[str, float] = {}
        with ThreadPoolExecutor(self.settings.parallel) as pool:
            different = dict(zip(names, requests, strict=True))
            under_way = {pool.submit(self._ask, own): name for name, own in different.items()}
            try:
                for done in as_completed(under_way):
                    found[under_way[done]] = self._read(*done.result())
            except BaseException:
                # What is under way was paid for: it is waited for, and kept.
                self._pace.stop()
                pool.shutdown(cancel_futures=True)
                raise
        return np.array([found[name] for name in names], dtype=np.float64)

    def _ask(self, request: dict[str, Any]) -> tuple[Answer | None, bool]:
        """The answer to a request, and whether it was on disk; runs on several threads."""
        answer = read_answer(self._stored.read(request))
        if answer is not None:
            return answer, True
        response = self._client.ask(request)
        if response is not None:
            self._stored.write(request, response)
        return read_answer(response), False

    def _read(self, answer: Answer | None, stored: bool) -> float:
        self._of_pairs["cached"] += stored
        if answer is None:
            return float("nan")
        verdict = read_verdict(answer.text or "")
        self._of_pairs["nonsense"] += verdict is None
        return float("nan") if verdict is None else verdict

    def _warn(self, skipped: int, n_pairs: int, before: dict[str, int]) -> None:
        since = {name: self.counts[name] - before[name] for name in WHY_SKIPPED}
        reasons = ", ".join(
            f"{since[name]} {words}" for name, words in WHY_SKIPPED.items() if since[name]
        )
        failure = self._client.last_failure
        warnings.warn(
            f"{self.name} skipped {skipped} of {n_pairs} pairs. Of its requests, {reasons}."
            + (f" The last failure: {failure}." if failure else "")
            + (" A new judge would try again." if self._client.is_down else ""),
            FairPOWarning,
            stacklevel=3,
        )
