"""``arsenal-fast completion bash | zsh | fish``: a script that completes commands and options, of the argparse tree.

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
_FISH: Final = """\
function __arsenal_fast_words
    set --local path ""
    for word in (commandline --tokenize --cut-at-cursor --current-process)[2..]
        switch "$path $word"
            case %s
                set path "$path $word"
        end
    end
    switch "$path"
%s
    end
end
complete --command arsenal-fast --arguments "(__arsenal_fast_words)"
"""
_ZSH: Final = "autoload -U +X bashcompinit && bashcompinit\n"

_EPILOG: Final = """\
examples:
  source <(arsenal-fast completion bash)
  arsenal-fast completion bash > /etc/bash_completion.d/arsenal-fast
  arsenal-fast completion fish > ~/.config/fish/completions/arsenal-fast.fish
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
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))


def _print(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    print(script(parser, given.shell), end="")
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for bash, zsh or fish."""
    tree = dict(_words(parser, ""))
    paths = [f'"{path}"' for path in tree if path]
    words = {path: " ".join(each) for path, each in tree.items()}
    if shell == "fish":
        cases = (f'        case "{path}"\n            printf "%s\\n" {each}' for path, each in words.items())
        return _FISH % (" ".join(paths), "\n".join(cases))
    cases = (f'    "{path}") words="{each}" ;;' for path, each in words.items())
    return (_ZSH if shell == "zsh" else "") + _BASH % ("|".join(paths), "\n".join(cases))


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
