"""Errors that end a command or a start with a sentence for people."""


class ForPeople(Exception):
    """The message is a full sentence for a person: what happened, to what, what to do next."""
