"""The command line: ``python run.py [start | sandbox | generate | parameters | convert | …]``.

Modules are imported inside functions, so that a missing package is a sentence, not a traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 (any free one) to 65535, not {text!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """Make the parser of the subcommands and their options."""
    from core.options import OPTIONS

    top = argparse.ArgumentParser(
        prog="run.py", description="Penultimate, a Discord bot for Stable Diffusion."
    )
    commands = top.add_subparsers(dest="command", metavar="command")
    commands.add_parser("start", help="run the bot on Discord (the default; needs a token)")
    sandbox = commands.add_parser("sandbox", help="run the whole bot in a browser, offline")
    sandbox.add_argument("--no-browser", action="store_true", help="only print the address")
    sandbox.add_argument("--port", type=_port, default=0, help="default: any free one")
    generate = commands.add_parser("generate", help="generate images from this terminal")
    generate.add_argument("prompt")
    for option in OPTIONS.values():
        if option.flag:
            generate.add_argument(
                # Also by the name that it has on Discord.
                *dict.fromkeys((option.flag, f"--{option.name.replace('_', '-')}")),
                dest=option.name,
                type=option.type,
                metavar=option.metavar or {int: "N", float: "X"}.get(option.type, "NAME"),
                help=option.about or (str(option.range) if option.range else None),
            )
    generate.add_argument("--out", default="out", metavar="DIR", help="default: out")
    for axis, example in (("x", '"Clip skip" 1-12'), ("y", '"CFG scale" 5,7,11')):
        generate.add_argument(
            f"--{axis}",
            nargs=2,
            metavar=("AXIS", "VALUES"),
            help=f"a grid, like --{axis} {example}",
        )
    convert = commands.add_parser("convert", help="make .safetensors of .pt, .pth, .bin, .ckpt")
    convert.add_argument("files", nargs="+", metavar="FILE")
    parameters = commands.add_parser(
        "parameters", help="say what images were made with, and what this bot leaves out"
    )
    parameters.add_argument("files", nargs="+", metavar="FILE", help="an image, or a text")
    parameters.add_argument("--json", action="store_true", help="one object a file, a line each")
    fetch = commands.add_parser("fetch", help="download a model: licence and size first, then asks")
    fetch.add_argument("source", metavar="SOURCE", help="a page, repository, version, hash or AIR")
    fetch.add_argument("--yes", action="store_true", help="do not ask")
    doctor = commands.add_parser("doctor", help="say what is installed, found, and wrong")
    doctor.add_argument("--check", action="store_true", help="read the database and images too")
    commands.add_parser("health", help="ask the running bot whether all is well (needs METRICS)")
    backup = commands.add_parser("backup", help="copy the database and images, also while it runs")
    backup.add_argument("folder", metavar="DIR", help="a new folder")
    restore = commands.add_parser("restore", help="put a backup in the place of the present data")
    restore.add_argument("folder", metavar="DIR", help="what backup made")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit code: 0, or 2 with a sentence on what to do."""
    arguments = parser().parse_args(argv)
    # Where a console cannot show a character, print a replacement instead of failing.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        return _run(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("bot", "cogs", "core"):
            raise
        print(
            f"The package {error.name!r} is not installed. Run: python -m pip install -e .",
            file=sys.stderr,
        )
        return 2


def _run(arguments: argparse.Namespace) -> int:
    from bot.settings import Settings, SettingsError

    if arguments.command == "convert":
        from bot.cli import convert

        return convert.main(arguments.files)
    try:
        needs_token = arguments.command in (None, "start", "doctor")
        settings = Settings.load(os.environ, token=needs_token)
    except SettingsError as error:
        print("These settings cannot be used:", *error.problems, sep="\n  ", file=sys.stderr)
        return 2
    match arguments.command:
        case "sandbox":
            from bot.cli import sandbox

            return sandbox.main(settings, port=arguments.port, browser=not arguments.no_browser)
        case "generate":
            from bot.cli import generate

            return generate.main(settings, arguments)
        case "parameters":
            from bot.cli import parameters

            return parameters.main(settings, arguments.files, as_json=arguments.json)
        case "fetch":
            from bot.cli import fetch

            return fetch.main(settings, arguments.source, yes=arguments.yes)
        case "doctor":
            from bot.cli import check, doctor

            return doctor.main(settings, check.data if arguments.check else None)
        case "health":
            from bot.cli import health

            return health.main(settings)
        case "backup":
            from bot.cli import backup

            return backup.backup(settings, Path(arguments.folder))
        case "restore":
            from bot.cli import backup

            return backup.restore(settings, Path(arguments.folder))
        case _:
            from bot.cli import start

            return start.main(settings)


if __name__ == "__main__":
    sys.exit(main())
