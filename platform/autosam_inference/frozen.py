"""The base of all descriptions that are read from files."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A description that nothing changes once it is read, and in which an unknown name is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
