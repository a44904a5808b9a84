"""The `dify` command: names of all commands and where they are; each is imported when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from dify_host.cli.output import print_error

__all__ = ["main"]

# Command -> (module of this package, name in it, what `dify --help` says).
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "up": ("up", "up", "Start everything on this machine: API, worker, schedule, embedded engines."),
    "demo": ("demo", "demo", "Start everything with example apps to look at."),
    "setup": ("accounts", "setup", "Make the first account."),
    "app": ("apps", "app", "Import, export, list and run apps."),
    "run": ("run", "run", "Run an app straight from its file, without a server."),
    "trace": ("trace", "trace", "Show where the time of a run went, node by node."),
    "kb": ("knowledge", "kb", "Make, fill and search knowledge bases."),
    "models": ("models", "models", "Add model providers, choose default models, try them."),
    "tools": ("tools", "tools", "List tools, add APIs and MCP servers, call a tool."),
    "plugins": ("plugins", "plugins", "List plugins, show their settings, start a new one."),
    "plugin": ("plugins", "plugin", "Start a new plugin: `dify plugin new KIND NAME`."),
    "doctor": ("doctor", "doctor", "Check this installation and say what to do."),
    "db": ("database", "db", "Upgrade the database, or tell how it differs."),
    "api": ("serve", "api", "Run the API alone."),
    "worker": ("serve", "worker", "Run a worker alone."),
    "beat": ("serve", "beat", "Run the schedule alone."),
    "serve": ("serve", "serve", "Run what MODE names: api, worker or beat."),
}


class _Commands(click.Group):
    """Knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None for a name that is not in the table."""
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"dify_host.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from dify_host.version import VERSION

        click.echo(f"dify {VERSION}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print it.")
def dify() -> None:
    """Build and serve AI apps: chatbots, agents, workflows, knowledge bases."""


def main(args: list[str] | None = None) -> None:
    """Run a command and exit: 0, or 1 for an error, 2 for wrong usage, 130 for Ctrl-C."""
    given = sys.argv[1:] if args is None else args
    sys.exit(_status(given, json="--json" in given))


def _status(args: list[str], *, json: bool) -> int:
    from dify_kernel.errors import DifyError

    try:
        status = dify.main(args=args, prog_name="dify", standalone_mode=False)
    except click.UsageError as exc:
        if json:
            print_error("usage", exc.format_message(), json=True)
        else:
            exc.show()
        return 2
    except click.ClickException as exc:
        print_error("usage", exc.format_message(), json=json)
        return 1
    except click.Abort:
        return 130
    except DifyError as exc:
        print_error(exc.code, exc.description, json=json)
        return 1
    except Exception as exc:
        # A fault of ours: whoever reads the JSON learns of it, whoever reads the screen sees where it is.
        if not json:
            raise
        print_error("internal_server_error", f"{type(exc).__name__}: {exc}", json=True)
        return 1
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    main()
