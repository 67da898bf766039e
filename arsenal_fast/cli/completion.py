"""``arsenal-fast completion bash | zsh``: a script that completes commands and options, made of the argparse tree.

No package of completions: argcomplete starts Python at each press of the key, and both it and shtab would be one more
dependency of the image for a hundred words that are known here.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from typing import Final

from arsenal_fast.cli.arguments import Commands, add_command

_BASH: Final = """\
_arsenal_fast() {
    local words="" path="" word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$path $word" in
        %s) path="$path $word" ;;
        esac
    done
    case "$path" in
%s
    esac
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _arsenal_fast arsenal-fast
"""
_ZSH: Final = "autoload -U +X bashcompinit && bashcompinit\n"

_EPILOG: Final = """\
examples:
  source <(arsenal-fast completion bash)
  arsenal-fast completion bash > /etc/bash_completion.d/arsenal-fast
"""


def add_parser(commands: Commands, parser: argparse.ArgumentParser) -> None:
    """Add the command, which completes all commands of the parser."""
    completion = add_command(
        commands,
        "completion",
        partial(_print, parser),
        "print a script that completes commands and options",
        "Print a script for a shell that completes commands and options.",
        _EPILOG,
    )
    completion.add_argument("shell", choices=("bash", "zsh"))


def _print(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    print((_ZSH if given.shell == "zsh" else "") + script(parser), end="")
    return 0


def script(parser: argparse.ArgumentParser) -> str:
    """Return the script for bash."""
    tree = dict(_words(parser, ""))
    paths = "|".join(f'"{path}"' for path in tree if path)
    cases = "\n".join(f'    "{path}") words="{" ".join(words)}" ;;' for path, words in tree.items())
    return _BASH % (paths, cases)


def _words(parser: argparse.ArgumentParser, path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield what may follow each path of commands, such as `` ledger backup``."""
    found: list[str] = []
    below: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        found += [option for option in action.option_strings if option.startswith("--")]
        if isinstance(action, argparse._SubParsersAction):
            below = action.choices
        found += action.choices or ()
    yield path, found
    for name, each in below.items():
        yield from _words(each, f"{path} {name}")
