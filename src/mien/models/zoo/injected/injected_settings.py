"""The settings of the models that change a text encoder's states; reading imports no torch."""

from typing import Literal

from pydantic import Field

from mien.models.zoo.zoo_settings import SeriesModelConfig, Share

__all__ = ["BertMagConfig", "CenetConfig", "InjectedConfig"]


class InjectedConfig(SeriesModelConfig):
    """What the settings of these models have in common.

    Attributes:
        scored: What is scored of the states: ``summary``, what ``text_encoder.summary`` says, or
            the ``first``, whatever that says, as in trainings from before there was a choice.
    """

    scored: Literal["summary", "first"] = "summary"

    @property
    def reads_summary_alone(self) -> bool:
        """Whether all that is read of a text is the encoder's summary of it: it is."""
        return True

    @property
    def changes_text_states(self) -> bool:
        """Whether states of a clip are changed inside of the text encoder: they are."""
        return True


class BertMagConfig(InjectedConfig):
    """Settings of MAG-BERT.

    Attributes:
        name: ``bert_mag``.
        shift_limit: Longest shift of a state, in units of its own length.
        dropout: Share dropped of the shifted states and before the score.
    """

    name: Literal["bert_mag"] = "bert_mag"
    shift_limit: float = Field(1.0, gt=0)
    dropout: Share = 0.0


class CenetConfig(InjectedConfig):
    """Settings of CENET.

    Attributes:
        name: ``cenet``.
        dropout: Share dropped before each layer of the head.
    """

    name: Literal["cenet"] = "cenet"
    dropout: Share = 0.1
