"""How the help shows options and arguments, each value by one word; and what errors say of options."""

from __future__ import annotations

from functools import partial
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

NARROW = 72  # columns; in less, panels cut names of options
_BESIDE = 9  # characters of an option that shares its line with its help in plain text


class ReadableGroup(TyperGroup):
    """Commands whose parameters, and those of the group itself, are shown alike."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The group's own parameters."""
        return _readable(super().get_params(ctx))


class ReadableCommand(TyperCommand):
    """A command whose parameters are shown alike, and whole where the terminal is narrow.

    What its option --skip-bad would have left out is told with that way out.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except ValueError as error:
            from crossfer.data.sample import BadSampleError  # costs time, and only here

            helps = "skip_bad" in ctx.params and not ctx.params.get(
                "resume"
            )  # a run goes on with what it had
            if not helps or not isinstance(error, BadSampleError):
                raise
            what = "them" if error.several else "it"
            raise BadSampleError(f"{error}; or leave {what} out with --skip-bad") from error

    def get_params(self, ctx: Any) -> list[Any]:
        """Its parameters."""
        return _readable(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help, in panels where these have room and as plain text where they would cut names."""
        from rich.console import Console  # for the help alone

        columns = Console().width
        if columns >= NARROW:
            return super().format_help(ctx, formatter)
        formatter.width = columns
        formatter.write_dl = partial(formatter.write_dl, col_max=_BESIDE)
        return super(TyperCommand, self).format_help(ctx, formatter)  # past Typer, which draws the panels


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
