"""How the help shows options and arguments: each value by one word, what it may be in the text."""

from __future__ import annotations

from typing import Any

from typer.core import TyperArgument, TyperGroup, TyperOption


class ReadableGroup(TyperGroup):
    """Commands whose parameters, and those of the group itself, are shown alike."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The group's own parameters."""
        return _readable(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of the commands, by its name; None if there is no such."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _readable(command.get_params(ctx))
        return command


def _readable(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        _show(parameter)
    return parameters


def _show(parameter: TyperOption | TyperArgument) -> None:
    """Give a parameter its word and say in its help what it may be; once is as good as twice.

    Typer would show choices and bounds beside the name, where choices are broken inside words, and a type
    after a flag, which takes no value.
    """
    if isinstance(parameter, TyperOption) and parameter.is_flag:
        parameter.metavar = ""
        return
    choices = parameter.type_descriptor.choices or ()
    if allowed := _allowed(parameter, choices):
        parameter.help = f"{parameter.help or ''} [{allowed}]".lstrip()
        if isinstance(parameter, TyperOption):
            parameter.metavar = parameter.metavar or ("NAME" if choices else "NUMBER")
    parameter.show_choices, parameter.min, parameter.max = False, None, None  # those of the help alone
    if isinstance(parameter, TyperArgument):
        parameter.metavar = parameter.metavar or parameter.name.upper()


def _allowed(parameter: TyperOption | TyperArgument, choices: tuple[Any, ...]) -> str:
    """What a value may be, in words; nothing if that was said already, or all are."""
    match parameter.min, parameter.max:
        case None, None:
            *others, last = map(str, choices if parameter.show_choices and choices else ("",))
            return f"{', '.join(others)} or {last}" if others else last
        case None, high:
            return f"at most {high}"
        case low, None:
            return f"{low} or more"
        case low, high:
            return f"{low} to {high}"
