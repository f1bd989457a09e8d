"""The door: ``python run.py [start | sandbox | generate | doctor]``. No logic, imports inside."""

from __future__ import annotations

import argparse
import os
import sys


def parser() -> argparse.ArgumentParser:
    """The subcommands and their options."""
    door = argparse.ArgumentParser(
        prog="run.py", description="Penultimate, a Discord bot for Stable Diffusion."
    )
    commands = door.add_subparsers(dest="command", metavar="command")
    commands.add_parser("start", help="run the bot on Discord (the default; needs a token)")
    sandbox = commands.add_parser("sandbox", help="run the whole bot in a browser, offline")
    sandbox.add_argument("--no-browser", action="store_true", help="only print the address")
    sandbox.add_argument("--port", type=int, default=0, help="default: any free one")
    generate = commands.add_parser("generate", help="draw from this terminal")
    generate.add_argument("prompt")
    generate.add_argument("--negative", dest="negative_prompt", metavar="TEXT")
    generate.add_argument("--model", metavar="NAME")
    generate.add_argument("--vae", metavar="NAME", help="Automatic, None or a name")
    generate.add_argument("--clip-skip", type=int, metavar="N", help="1 to 12, as A1111 counts")
    generate.add_argument("--seed", type=int, metavar="N", help="-1 draws one")
    generate.add_argument("--steps", type=int, metavar="N")
    generate.add_argument("--cfg", dest="cfg_scale", type=float, metavar="X")
    generate.add_argument("--sampler", metavar="NAME", help='like "DPM++ 2M Karras"')
    generate.add_argument("--size", metavar="WxH", help="or square, portrait, landscape")
    generate.add_argument("--count", type=int, metavar="N")
    generate.add_argument("--out", default="out", metavar="DIR", help="default: out")
    for axis in ("x", "y"):
        generate.add_argument(
            f"--{axis}",
            nargs=2,
            metavar=("AXIS", "VALUES"),
            help='a sheet, like --x "Clip skip" 1-12',
        )
    commands.add_parser("doctor", help="say what is installed, found, and wrong")
    return door


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit code: 0, or 2 with a sentence on what to do."""
    arguments = parser().parse_args(argv)
    # A console that cannot show a character shows another one, rather than a traceback.
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

    try:
        settings = Settings.load(os.environ)
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
        case "doctor":
            from bot.cli import doctor

            return doctor.main(settings)
        case _:
            from bot.cli import start

            return start.main(settings)


if __name__ == "__main__":
    sys.exit(main())
