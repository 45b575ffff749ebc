"""A judge that is a reward model: a sequence-classification model of transformers."""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fairpo._checks import unknown_name, value_error
from fairpo._optional import require
from fairpo.generation.judges.judge import check_texts, verdicts_of_scores
from fairpo.generation.texts import Text, text_key
from fairpo.models.pretrained import load_with_tokenizer

Join = Literal["text", "pair"]


class RewardModelJudge:
    """Score each completion with a reward model, and compare the scores.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        For sequence classification: one logit, or one for each attribute. Run where it is, in
        evaluation mode, and given back in the mode it had.
    tokenizer : transformers.PreTrainedTokenizerBase
        Copied, not changed.
    columns : mapping from attribute to int, optional
        Logit of each attribute. When not given: the only logit for every attribute, or, of
        several, the one that ``config.id2label`` names so.
    name : str, optional
        What results call it; ``reward:`` and the name the model was loaded by.
    join : "text" or "pair"
        How a prompt that is plain text and its completion are read: one text after the other, or
        as the tokenizer's first and second text, for encoders trained so. A conversation goes
        through the tokenizer's chat template, the completion as the assistant's turn.
    batch_size : int
        Texts at a time, of about one length. A model whose configuration has no
        ``pad_token_id`` reads one at a time.
    max_length : int, optional
        Tokens of a text; the model's and the tokenizer's own limit when not given. Of longer
        texts the beginning is left out: what is judged stands at the end.

    Attributes
    ----------
    counts : Counter
        ``scored`` texts, and of these ``truncated`` ones; ``empty`` ones, without a token, that
        have no score.

    Raises
    ------
    FairPOValueError
        A column that is not there, or no batch size or length.

    Notes
    -----
    A score is the logit, or its log-softmax where ``config.problem_type`` says that classes
    exclude each other: their logits alone are not comparable between texts. A text is scored
    once, so equal texts tie, whatever batch they would have been in.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        columns: Mapping[str, int] | None = None,
        name: str | None = None,
        join: Join = "text",
        batch_size: int = 16,
        max_length: int | None = None,
    ) -> None:
        for option, value in (("batch_size", batch_size), ("max_length", max_length)):
            if value is not None and value < 1:
                raise value_error(option, must="be at least 1", got=value)
        if join not in ("text", "pair"):
            raise value_error("join", must="be 'text' or 'pair'", got=repr(join))
        self._model = model
        self._tokenizer = copy.deepcopy(tokenizer)
        self._tokenizer.truncation_side = "left"
        self._columns = _columns(model.config, columns)
        self.name = name or f"reward:{model.config.name_or_path or type(model).__name__}"
        self._join = join
        self._pad = model.config.get_text_config().pad_token_id
        self._batch_size = 1 if self._pad is None else batch_size
        self._max_length = max_length or _longest(model.config, tokenizer)
        self._inputs = set(inspect.signature(model.forward).parameters)
        self.counts: Counter[str] = Counter()

    @classmethod
    def from_pretrained(
        cls, name: str, *, fetch: bool = False, device: str = "cpu", **options: Any
    ) -> Self:
        """Load a model and its tokenizer.

        Parameters
        ----------
        name : str
            Local folder, or name on the hub.
        fetch : bool
            Whether it may be downloaded.
        device : str
        **options
            As of the class.

        Raises
        ------
        FairPOFileError
            No such model here, its files are damaged, or its head was never trained.
        FairPOImportError
            transformers is not installed.
        """
        transformers = require("transformers", extra="generation", purpose="a reward model")
        model, tokenizer = load_with_tokenizer(
            transformers.AutoModelForSequenceClassification,
            name,
            fetch=fetch,
            lacks="no reward model",
            do="Give a model that was trained for sequence classification.",
        )
        return cls(model.to(device), tokenizer, **{"name": f"reward:{name}", **options})

    def compare(
        self,
        prompts: Sequence[Text],
        first: Sequence[str],
        second: Sequence[str],
        attribute: str,
    ) -> NDArray[np.float64]:
        """Compare two completions of each prompt; see :meth:`Judge.compare`.

        Raises
        ------
        FairPOValueError
            The model has no logit for the attribute, the tokenizer no chat template for a
            conversation, or different numbers of texts.
        """
        check_texts(prompts, first, second)
        column = self._column(attribute)
        places: dict[Any, int] = {}
        texts: list[tuple[Text, str]] = []
        rows = []
        for prompt, completion in zip([*prompts, *prompts], [*first, *second], strict=True):
            key = (text_key(prompt), completion)
            if key not in places:
                places[key] = len(texts)
                texts.append((prompt, completion))
            rows.append(places[key])
        scores = self._scores(texts, column)[np.array(rows, dtype=np.int64)]
        return verdicts_of_scores(*np.split(scores, 2))

    def _column(self, attribute: str) -> int:
        if self._columns is None:
            return 0
        if attribute not in self._columns:
            raise unknown_name(
                "attribute", attribute, self._columns, of="attributes that this model scores"
            )
        return self._columns[attribute]

    def _scores(self, texts: Sequence[tuple[Text, str]], column: int) -> NDArray[np.float64]:
        """Score texts (n,); NaN for one without a token."""
        encoded = [self._encode(*text) for text in texts]
        lengths = np.array([len(inputs["input_ids"]) for inputs in encoded])
        self.counts.update(
            scored=int((lengths > 0).sum()),
            empty=int((lengths == 0).sum()),
        )
        scores = np.full(len(texts), np.nan)
        training = self._model.training
        self._model.eval()
        try:
            for rows in self._batches(lengths):
                scores[rows] = self._forward([encoded[row] for row in rows])[:, column]
        finally:
            self._model.train(training)
        return scores

    def _batches(self, lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Rows with a token, neighbours in length together, so that little is padded."""
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        for start in range(0, len(order), self._batch_size):
            yield order[start : start + self._batch_size]

    @torch.inference_mode()
    def _forward(self, batch: list[dict[str, Tensor]]) -> NDArray[np.float64]:
        """Scores of a batch, shape (batch, columns)."""
        fill = {"input_ids": self._pad or 0}  # nothing is padded where the model has no such token
        padded = {
            name: pad_sequence(
                [inputs[name] for inputs in batch],
                batch_first=True,
                padding_value=fill.get(name, 0),
            ).to(self._model.device)
            for name in batch[0]
        }
        logits = self._model(**padded).logits.float()
        if self._model.config.problem_type == "single_label_classification":
            logits = logits.log_softmax(dim=-1)
        scores: NDArray[np.float64] = logits.double().cpu().numpy()
        return scores

    def _encode(self, prompt: Text, completion: str) -> dict[str, Tensor]:
        special = isinstance(prompt, str)
        if not isinstance(prompt, str):
            parts = [self._chat(prompt, completion)]
        elif self._join == "pair":
            parts = [prompt, completion]
        else:
            parts = [prompt + completion]
        inputs = self._tokenizer(*parts, add_special_tokens=special, verbose=False)
        if len(inputs["input_ids"]) > self._max_length:
            self.counts["truncated"] += 1
            inputs = self._tokenizer(
                *parts,
                add_special_tokens=special,
                truncation="longest_first",
                max_length=self._max_length,
            )
        return {
            name: torch.tensor(values, dtype=torch.long)
            for name, values in inputs.items()
            if name in self._inputs
        }

    def _chat(self, prompt: list[dict[str, str]], completion: str) -> str:
        if not self._tokenizer.chat_template:
            raise value_error(
                f"the tokenizer of {self.name}",
                must="have a chat template, to read conversations",
                got="none",
                do="Set tokenizer.chat_template, or give prompts as plain text.",
            )
        turns = [*prompt, {"role": "assistant", "content": completion}]
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False))


def _columns(config: Any, columns: Mapping[str, int] | None) -> dict[str, int] | None:
    """Logit of each attribute; None where the only one serves every attribute."""
    if columns is None:
        if config.num_labels == 1:
            return None
        return {str(name): int(index) for index, name in config.id2label.items()}
    for attribute, column in columns.items():
        if not 0 <= column < config.num_labels:
            raise value_error(
                f"the column of {attribute!r}",
                must=f"be from 0 to {config.num_labels - 1}, the model's logits",
                got=column,
            )
    return dict(columns)


def _longest(config: Any, tokenizer: Any) -> int:
    """Tokens that both the model and its tokenizer take."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(min(tokenizer.model_max_length, positions or tokenizer.model_max_length))
