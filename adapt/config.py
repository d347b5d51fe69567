"""The whole run as pydantic models: YAML in, JSON Schema out (the web form is made from the schema).

Options of methods, tunings, objectives and tasks come from their own files through the registries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, create_model, field_validator, model_validator

from adapt.config_error import first_problem
from adapt.evaluate.task import TASKS, TaskFiles
from adapt.pretrain.device import DeviceName
from adapt.pretrain.mixing import SOURCE, TEXT, TRIPLES
from adapt.pretrain.options import BUDGETS, Pretrain
from adapt.pretrain.presets.preset import PRESETS, PresetOptions
from adapt.selection.select import Select
from lexigraft import InputError
from vocab.options import Options, options_of
from vocab.tokenizer.algorithm import ALGORITHMS
from vocab.tokenizer.options import BuildOptions, Size
from vocab.transplant import AUTO
from vocab.transplant.auto import AutoOptions
from vocab.transplant.chain import parse
from vocab.transplant.method import METHODS
from vocab.vectors import KINDS

Arm = Literal["source", "keep", "adapted", "scratch"]
NEW_WORDS = frozenset({"adapted", "scratch"})  # arms that use the tokenizer built for the language
HANDED_OUT = ("adapted", "keep", "scratch")  # whose model a run hands out: the first of these that it trained


MethodOptions = create_model(
    "MethodOptions",
    __base__=options_of(METHODS, "MethodOptions"),
    auto=(AutoOptions, Field(default_factory=AutoOptions, description="How method `auto` chooses.")),
)
_TASKS: dict[str, Any] = {
    task.name: (task.options | None, Field(default=None, description=task.summary)) for task in TASKS if task.files
}
TaskChoice: Any = create_model("Tasks", __base__=Options, **_TASKS)


class Source(Options):
    """The pretrained model that is adapted."""

    model: str
    """Folder or hub id of the source model."""
    tokenizer: str | None = None
    """Folder or hub id of its tokenizer, where that is not beside the model."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    trust_remote_code: bool = False
    """Run code that ships with the model. Only for models whose code you have read."""


class Corpus(Options):
    """Text of the language."""

    text: list[Path] = Field(default_factory=list)
    """Plain text files, UTF-8, one sentence, verse or paragraph a line."""
    heldout: Path | None = None
    """Text kept apart for measuring; without it a share of `text` is set aside."""
    heldout_share: float = Field(0.05, gt=0, lt=0.5)
    """Share of the lines set aside, in blocks of 50 neighbours, when no held-out file is given."""
    heldout_lines: int | None = Field(20_000, ge=50)
    """Set aside at most so many lines, whatever their share: memory grows with them, by some 2 kB a line."""
    max_characters: int | None = Field(None, gt=0)
    """Train on at most this many characters of text (whole lines, from the start); what is held out stays the same."""
    select: Select = Field(default_factory=Select)
    """Which lines of the training text are used."""
    source_text: list[Path] = Field(default_factory=list)
    """Text of a language that the source model knows: replayed in training (`pretrain.mix.replay`), and a share of it,
    as of `text`, kept apart to measure forgetting on."""
    others: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")], list[Path]] = Field(default_factory=dict)
    """Text of further languages that are trained beside this one (`pretrain.mix.alpha`): `swa: [swahili.txt]`."""
    triples: Path | None = None
    """Facts that are trained on (`pretrain.mix.triples`), one a line: head, a tab, relation, a tab, tail."""

    @field_validator("max_characters", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        return float(value) if isinstance(value, str) else value  # YAML reads 1e6 as text

    @field_validator("others")
    @classmethod
    def _names_apart(cls, others: dict[str, list[Path]]) -> dict[str, list[Path]]:
        for name, files in others.items():
            if name in (TEXT, SOURCE, TRIPLES):
                raise ValueError(f"no language can be called {name!r}: another corpus of the run is")
            if not files:
                raise ValueError(f"{name} names no file")
        return others


class Tokenizer(BuildOptions):
    """The tokenizer built for the language."""

    algorithm: str = Field("unigram", json_schema_extra={"enum": [*ALGORITHMS.names]})
    """How pieces are chosen: unigram for the fewest pieces a word, bpe for large vocabularies from little text,
    byte-bpe where nothing may be unknown; `lexigraft tokenizer algorithms` tells of all."""
    vocab_size: Size = Field(16_000, json_schema_extra={"default": "16000"})
    """Pieces in the vocabulary, specials included; `auto` takes the smallest size past which more gains little."""
    others: list[Path] = Field(default_factory=list)
    """Texts of further languages that share the vocabulary, one file a language; see `alpha`."""
    path: Path | None = None
    """Use this tokenizer instead of building one."""

    @field_validator("algorithm")
    @classmethod
    def _known(cls, name: str) -> str:
        return ALGORITHMS[name].name

    def build_options(self) -> dict[str, Any]:
        """Return what `vocab.train_tokenizer` takes."""
        return self.model_dump(include=set(BuildOptions.model_fields))


class Transplant(Options):
    """How the new vocabulary gets its embeddings."""

    method: str | None = Field(
        None, json_schema_extra={"examples": ["auto", "focus -> subwords -> mean", *METHODS.names]}
    )
    """A method or a chain (`focus -> subwords -> mean`), or `auto` (tried in a short training); nothing means the
    default chain."""
    vectors: str | None = Field(None, json_schema_extra={"examples": list(KINDS)})
    """Evidence about the new tokens, or a file of word vectors, for methods that need it; nothing means what the method
    was published with."""
    source_vectors: Path | None = None
    """File of word vectors of the source's language, for methods that compare the two."""
    parallel: list[Path] = Field(default_factory=list, max_length=2)
    """Two files, line by line translations: the source's language, then the new one; for methods that use them."""
    helper: str | None = None
    """A small model with the new tokens (folder or hub id), for methods that compare tokens in it."""
    dictionary: Path | None = None
    """Bilingual dictionary (source word, tab, target word), for methods that use one."""
    edits: Path | None = None
    """Rows written by hand, YAML (`▁gida: {▁house: 1.0}`), put in place of what the method made."""
    bias: Literal["frequency", "mixed"] | None = None
    """The output bias, where the model has one: mixed as the rows are, or shifted until the model predicts each token
    as often as the text shows it; nothing: frequency with the default chain and `auto`, else mixed."""
    device: Literal["auto", "cpu", "cuda"] | None = None
    """What similarities, factorisations and trials are computed on, where not on the run's `device`; auto: CUDA where
    it is, else numpy; cpu: torch on the processor. Rows differ by rounding only."""
    options: MethodOptions = Field(default_factory=MethodOptions)
    """Options of single methods."""

    @field_validator("vectors")
    @classmethod
    def _kind_or_file(cls, value: str | None) -> str | None:
        if value is not None and value not in KINDS and "." not in value:
            raise ValueError(f"unknown kind of vectors {value!r}, known: {', '.join(KINDS)}, or a file of word vectors")
        return value

    @model_validator(mode="after")
    def _methods_have_what_they_need(self) -> Transplant:
        if self.method not in (None, AUTO):
            for link in parse(self.method):
                # Vectors of the target's tokens are made from the corpus, which is the text too.
                needs = sorted(METHODS[link].needs - {"vectors", "texts"})
                if missing := [need for need in needs if not getattr(self, need)]:
                    raise ValueError(f"{link} needs transplant.{' and transplant.'.join(missing)}")
        return self


class Scratch(Options):
    """The untrained model of the arm `scratch`."""

    preset: str | None = Field(None, json_schema_extra={"examples": list(PRESETS.names)})
    """Its architecture; nothing means the smallest of the source's kind, encoder-tiny or decoder-tiny."""
    options: PresetOptions = Field(default_factory=PresetOptions)
    """Sizes of the architectures."""

    @field_validator("preset")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        return None if name is None else PRESETS[name].name


class Evaluate(Options):
    """What is measured, and how."""

    mode: Literal["probe", "finetune"] = "probe"
    """probe: heads on a frozen body, features computed once; finetune: the whole model, minutes to hours."""
    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)
    """Seeds of the task heads."""
    lm_words: int = Field(2000, ge=10)
    """Held-out words scored by every language model, the same for all arms."""
    max_train: int | None = Field(None, gt=0)
    """Use at most this many training examples a task."""
    max_test: int | None = Field(None, gt=0)
    """Use at most this many test examples a task."""
    epochs: int = Field(3, gt=0)
    """Epochs of fine-tuning (mode finetune)."""
    min_updates: int = Field(200, ge=0)
    """Mode finetune: take more epochs where so few examples would give fewer optimiser updates than this; 0: never."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Mode finetune: each layer learns at this factor of the one above it (0.95 for little data; 1: all alike)."""
    reinit_layers: int = Field(0, ge=0)
    """Mode finetune: draw the weights of so many top layers anew, for little data (1 to 6 were published)."""
    long_texts: Literal["windows", "head-tail"] = "windows"
    """Texts longer than the model reads (text classification): windows reads all of them in parts that overlap;
    head-tail reads the first quarter of what fits from the start, the rest from the end."""
    lr: float = Field(5e-5, gt=0)
    """Learning rate of fine-tuning (mode finetune)."""
    micro_batch: int | None = Field(None, gt=0)
    """Mode finetune: sentences that go through the model at once; fewer need less memory, the loss stays the same."""
    processes: int = Field(1, ge=1, le=16)
    """Mode finetune: processes of this machine that fine-tune together, one a GPU; on processors they share `threads`.
    A step has 16 sentences, so there are at most 16."""
    task_adapter: bool = False
    """Mode finetune: train an adapter over the body, which stays as it is, instead of the body (lr about 1e-4)."""
    tasks: TaskChoice = Field(default_factory=TaskChoice)
    """Labelled files of each task."""

    @model_validator(mode="after")
    def _processes_tune(self) -> Evaluate:
        if self.mode == "probe" and self.processes > 1:
            raise ValueError(f"processes belongs to mode finetune, found mode probe, processes {self.processes}")
        return self

    @model_validator(mode="after")
    def _small_data(self) -> Evaluate:
        body = {"layer_decay": self.layer_decay != 1, "reinit_layers": self.reinit_layers > 0}
        if chosen := [name for name, given in body.items() if given]:
            if self.mode == "probe":
                raise ValueError(f"{chosen[0]} belongs to mode finetune, found mode probe")
            if self.task_adapter:
                raise ValueError(f"{chosen[0]} and task_adapter exclude each other: with an adapter the body stays")
        return self

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"seeds repeat: {seeds}")
        return seeds


class RunConfig(Options):
    """One run: a language, a source model, the arms that are compared, and what is measured."""

    language: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")]
    """ISO 639-3 code (or a name of your own: letters, digits, hyphens)."""
    source: Source
    corpus: Corpus = Field(default_factory=Corpus)
    arms: list[Arm] = Field(default=["source", "keep", "adapted"], min_length=1)
    """source: as it is; keep: trained as long, vocabulary kept; adapted: vocabulary replaced, then trained; scratch: an
    untrained model with the new vocabulary, trained as long."""
    tokenizer: Tokenizer = Field(default_factory=Tokenizer)
    transplant: Transplant = Field(default_factory=Transplant)
    scratch: Scratch = Field(default_factory=Scratch)
    pretrain: Pretrain = Field(default_factory=Pretrain)
    evaluate: Evaluate = Field(default_factory=Evaluate)
    seed: int = Field(0, ge=0)
    """Seed of everything that draws."""
    threads: int | None = Field(None, gt=0)
    """Threads of the matrix products; nothing means one a core. Part of what makes two runs equal to the byte."""
    device: DeviceName = "auto"
    """What is computed on; auto: CUDA where it is, else Metal (mps), else the processor."""
    out: Path = Path("runs")
    """Folder that run folders are made in."""

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        if not self.corpus.text:
            raise ValueError("corpus.text names no file")
        self._texts_are_there()
        other = [arm for arm in self.arms if arm in NEW_WORDS]
        if self.pretrain.distil.weight and self.pretrain.distil.match == "logits" and other:
            raise ValueError(
                "pretrain.distil.match logits needs the source's vocabulary: predictions are compared token by token; "
                f"take hidden-states, or leave out of `arms`: {', '.join(other)}"
            )
        if self.pretrain.distil.weight and "scratch" in other:
            raise ValueError("pretrain.distil: the arm scratch has nothing of the source to keep; leave it out")
        return self

    @property
    def like(self) -> list[Path]:
        """Files whose texts selected lines should be like, where a ranking wants to know."""
        if "like" not in self.corpus.select.needs:
            return []
        tasks = [getattr(self.evaluate.tasks, task.name, None) for task in TASKS]
        return self.corpus.select.like or [files.train for files in tasks if isinstance(files, TaskFiles)]

    def _texts_are_there(self) -> None:
        """Refuse settings that need a text which is not given."""
        corpus, needs, code = self.corpus, self.corpus.select.needs, self.pretrain.mix.code_switch
        if code.words and self.transplant.dictionary is None:
            raise ValueError("pretrain.mix.code_switch needs a bilingual dictionary: transplant.dictionary")
        if code.from_source and not corpus.source_text:
            raise ValueError(f"pretrain.mix.code_switch.direction {code.direction} needs corpus.source_text")
        if "like" in needs and not self.like:
            raise ValueError(f"corpus.select: {needs['like']} needs tasks, or texts in corpus.select.like")
        if "foreign" in needs and not corpus.source_text and not corpus.others:
            raise ValueError(
                f"corpus.select: {needs['foreign']} needs another language's text: corpus.source_text or corpus.others"
            )
        if self.pretrain.selective.reference and len({arm in NEW_WORDS for arm in self.arms if arm != "source"}) > 1:
            raise ValueError("pretrain.selective.reference has one vocabulary, the arms have two: leave some out")

    def paths_from(self, base: Path) -> RunConfig:
        """Return a copy whose relative file names are taken from `base` (the folder of the YAML file)."""
        return RunConfig.model_validate(_resolve(self.model_dump(), base))


def _resolve(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return value if value.is_absolute() else base / value
    if isinstance(value, dict):
        return {k: (v if k == "out" else _resolve(v, base)) for k, v in value.items()}
    return [_resolve(v, base) for v in value] if isinstance(value, list) else value


def load(path: Path, overrides: dict[str, Any] | None = None) -> RunConfig:
    """Read a run's YAML and apply `key=value` overrides.

    Args:
        path: the YAML file; relative paths in it are taken from its folder.
        overrides: dotted keys (`pretrain.steps`) and values; a text value is read as YAML.

    Raises:
        InputError: the file is missing, is not YAML, or has a key or value that is not known; file and line are named.
    """
    if not path.is_file():
        raise InputError("no such configuration file", file=path, expected="a YAML file, as `lexigraft init` writes it")
    text = path.read_text(encoding="utf-8-sig")
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            f"not YAML: {getattr(error, 'problem', error)}", file=path, line=mark.line + 1 if mark else None
        ) from None
    if not isinstance(data, dict):
        raise InputError("not a mapping", file=path, found=type(data).__name__, expected="keys such as `language:`")
    data.pop("resolved", None)  # what a finished run wrote beside its settings
    given = set(overrides or {})
    for key, value in (overrides or {}).items():
        _set(data, key, yaml.safe_load(value) if isinstance(value, str) else value)
    budgets = {f"pretrain.{name}" for name in BUDGETS}
    if given & budgets and isinstance(data["pretrain"], dict):  # replaces the file's budget, whatever its unit
        data["pretrain"] = {k: v for k, v in data["pretrain"].items() if f"pretrain.{k}" not in budgets - given}
    try:
        config = RunConfig.model_validate(data)
    except ValidationError as error:
        raise first_problem(error, path, text, given) from None
    return config.paths_from(path.parent.absolute())


def parse_override(text: str) -> tuple[str, str]:
    """Split `key=value` as typed on the command line.

    Raises:
        InputError: there is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(
            "cannot read this argument", found=repr(text), expected="key=value, such as pretrain.steps=2000"
        )
    return key.strip(), value


def _set(data: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(data.get(parent), dict):
            data[parent] = {}
        data = data[parent]
    data[last] = value


def dump(config: RunConfig) -> str:
    """Return the configuration as YAML with every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
