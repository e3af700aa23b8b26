"What a client may send: questions and judgements. The descriptions are those of the OpenAPI document."

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ftkit.checks.columns import join_parts

ITEMS = 256  # texts of one request, turns of one chat
CHARACTERS = 100_000  # of one text
TEXT = "The bus was late again, but the driver was kind."  # whose answer is the example in the OpenAPI document
TEXTS = ["Lovely warm bread today.", "The library opens at nine."]

Words = Annotated[str, Field(max_length=CHARACTERS)]


class Strict(BaseModel):
    "A body without unknown keys"

    model_config = ConfigDict(extra="forbid")


class Turn(Strict):
    "One turn of a chat"

    role: Literal["system", "user", "assistant"] = Field(description="who speaks")
    content: Words = Field(description="what is said")


Pair = Annotated[list[Words], Field(min_length=2, max_length=2)]
Chat = Annotated[list[Turn], Field(min_length=1, max_length=ITEMS)]
Text = Words | Pair | Chat


class Question(Strict):
    "What is asked: one `text`, or many `texts`. A text may also be a pair of texts, or for a model that writes a chat"

    text: Text | None = Field(None, description="one text; the answer is one object")
    texts: Annotated[list[Text], Field(min_length=1, max_length=ITEMS)] | None = Field(
        None, description="many texts; the answer is a list with an object for each, in order"
    )
    stream: bool = Field(
        False,
        description="with one `text` and a model that writes: server-sent events, as the answer is written. The last "
        "event is the answer itself",
    )

    @model_validator(mode="after")
    def check_one(self):
        "Raise `ValueError` unless exactly one of text and texts is given"
        if (self.text is None) == (self.texts is None):
            raise ValueError("send one of 'text' and 'texts'")
        if self.stream and self.text is None:
            raise ValueError("'stream' takes one 'text'")
        return self

    def read(self) -> list:
        "Return what is asked as `Run.predict` takes it"
        return [spell_text(text) for text in ([self.text] if self.text is not None else self.texts)]


def spell_text(text: str | list) -> object:
    "Return a text, a pair as one text, or a chat as dictionaries"
    if isinstance(text, str):
        return text
    return join_parts(text) if isinstance(text[0], str) else [turn.model_dump() for turn in text]


class Judgement(Strict):
    "What a person thinks of an answer"

    text: Words = Field(description="what was asked")
    answer: Words = Field(description="what the model answered: its label, value or text")
    mark: Literal["good", "bad"] = Field(description="whether the answer is right")
    corrected: Words | None = Field(None, description="what the answer should have been")


class Problem(BaseModel):
    "Why a request was refused"

    error: str = Field(description="one line: what came in, why not, what to send instead")


QUESTIONS = {  # name -> example of a body
    "one text": {"value": {"text": TEXT}},
    "many texts": {"value": {"texts": TEXTS}},
}
