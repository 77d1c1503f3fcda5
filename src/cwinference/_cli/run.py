"""What a command gets: the settings of the command line, a client that has them, and what to print on."""

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from . import output

if TYPE_CHECKING:
    from .. import Client
    from ..auth import TokenSource


class Run:
    """One run of a command. Its options put their values here; the command takes it by `@click.pass_obj`."""

    def __init__(self) -> None:
        self.path = "cwinference"
        """The command, as it was named: the beginning of every error."""
        self.subject: tuple[str, str] = ("", "")
        """The kind of resource that it is about, and which one, as it was named; each may be empty."""
        self.token_file: str | None = None
        self.endpoint: str | None = None
        self.transport: str | None = None
        self.timeout: float | None = None
        """Seconds; None for the default of whatever it limits."""
        self.ca: str | None = None
        self.proxy: str | None = None
        self.quiet = False
        self.debug = False
        self.form: str | None = None
        """What `-o` says; None for the default of the command."""
        self.sort_by: str | None = None
        self.columns: str | None = None
        self._lost: OSError | None = None
        self._client: Client | None = None
        self._handler: logging.Handler | None = None

    def token(self) -> "TokenSource | None":
        """Return the token source that `--token-file` names; None for the environment's token."""
        from .. import auth

        return None if self.token_file is None else auth.from_file(self.token_file)

    def required_token(self) -> "TokenSource | None":
        """Return the same for a command that cannot do without.

        Raises:
            CommandError: neither the option nor the environment names one (exit code 4).
        """
        from ..config import resolve_token
        from ..errors import ConfigurationError
        from .exit_codes import CREDENTIALS
        from .failures import CommandError

        token = self.token()
        try:
            resolve_token(token, otherwise="use --token-file,")  # the client would advise token=
        except ConfigurationError as error:
            raise CommandError(str(error), code=CREDENTIALS) from None
        return token

    def connection(self, transport: str = "rest") -> dict[str, Any]:
        """Return how to reach the API, as arguments of a client; `transport` is the default of `--transport`."""
        from ..config import TLS, set_default_variable

        set_default_variable("GRPC_VERBOSITY", "error")  # its notes would go to standard error, before our own error
        how: dict[str, Any] = {"endpoint": self.endpoint, "proxy": self.proxy}
        how["tls"] = None if self.ca is None else TLS(ca=self.ca)
        return {**how, "transport": self.transport or transport}

    @property
    def client(self) -> "Client":
        """The client, made when it is first needed. It is closed when the command ends.

        It speaks REST unless `--transport` says otherwise, because only JSON shows all fields of a resource.

        Raises:
            CommandError: there is no token (exit code 4).
            ConfigurationError: another setting is wrong.
        """
        if self._client is None:
            self._client = self._open(self.required_token())
        return self._client

    @property
    def client_to_examine(self) -> "Client":
        """The same for a command that says itself what is wrong with the token: calls raise it.

        Raises:
            ConfigurationError: another setting is wrong.
        """
        from ..auth import TokenCredentials
        from ..config import resolve_token
        from ..errors import ConfigurationError

        token = self.token()
        try:
            TokenCredentials(resolve_token(token, otherwise="use --token-file,"))
        except ConfigurationError as error:
            token = partial(_raise, str(error))
        self._client = self._open(token)
        return self._client

    def _open(self, token: "TokenSource | None") -> "Client":
        from .. import Client

        if self.debug:
            self._log()
        more: dict[str, Any] = {} if self.timeout is None else {"timeout": self.timeout}
        return Client(token, **{**self.connection(), **more})

    def _log(self) -> None:
        """Print what the library logs, down to single calls, to standard error."""
        self._handler = logging.StreamHandler()
        self._handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger = logging.getLogger("cwinference")
        logger.addHandler(self._handler)
        logger.setLevel(logging.DEBUG)

    def close(self) -> None:
        """Close the client, if there is one."""
        client, self._client = self._client, None
        if self._handler is not None:
            logger = logging.getLogger("cwinference")
            logger.removeHandler(self._handler)
            logger.setLevel(logging.NOTSET)
        if client is not None:
            client.close()

    def fail(self, error: Exception, subject: tuple[str, str] | None = None) -> int:
        """Print what is wrong and what to do about it, and return the exit code.

        Args:
            error: the error.
            subject: the kind of resource that it is about, and which one; None for those that the command names.
        """
        from .failures import failure_of

        failure = failure_of(error, self.path, subject or self.subject, debug=self.debug)
        for line in failure.lines:
            output.complain(line)
        return failure.code

    def say(self, text: str) -> None:
        """Print data to standard output. Text of a server has to go through `_text.one_line` or `printable` before."""
        self.write(f"{text}\n")

    def write(self, text: str) -> None:
        """Print a part of a line of data, as `say` does."""
        self._lost = output.write(sys.stdout, text) or self._lost

    def end(self, code: int) -> int:
        """Return the exit code of a command that ends with `code`: no success if data was lost, which it says."""
        if self._lost is None or code:
            return code
        output.complain(f"{self.path}: standard output: {output.describe(self._lost)}")
        return 1

    def note(self, text: str) -> None:
        """Print to standard error, unless `--quiet` was given: progress, advice."""
        if not self.quiet:
            output.complain(text)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Return if the user agrees, on a terminal; `yes` agrees in advance (`--yes`).

        Raises:
            CommandError: the user does not agree (exit code 1), or there is no terminal to ask on (2).
        """
        from .exit_codes import OTHER, USAGE
        from .failures import CommandError
        from .standard_input import read_line

        if yes:
            return
        if not (output.is_terminal(sys.stdin) and output.is_terminal(sys.stderr)):
            raise CommandError(f"{question} There is no terminal to ask on; use --yes", code=USAGE)
        output.write(sys.stderr, f"{question} [y/N] ")
        if read_line().strip().lower() not in ("y", "yes"):
            raise CommandError("not confirmed, nothing was changed", code=OTHER)

    def document(self, value: Any, text: Callable[[], str]) -> None:
        """Print what is no resource: JSON or YAML of `value` if `-o` says so, otherwise what `text` returns."""
        if self.form == "json":
            self.say(output.as_json(value))
        elif self.form == "ndjson":
            self.say(output.as_json(value, indent=None))
        elif self.form == "yaml":
            from .printing.forms import yaml_text

            self.say(yaml_text(value))
        else:
            self.say(text())


def _raise(problem: str) -> str:
    from ..errors import ConfigurationError

    raise ConfigurationError(problem)
