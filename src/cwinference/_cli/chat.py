"""`cwinference chat GATEWAY [PROMPT]`: streams a completion; without a prompt, a conversation."""

import sys
from typing import TYPE_CHECKING, Any

import click

from .._text import one_line, printable
from ..errors import InferenceError
from . import output
from .exit_codes import USAGE
from .failures import CommandError, failure_of
from .parsing.groups import Command
from .printing.screen import Screen
from .resources.kinds import GATEWAYS
from .resources.names import find
from .standard_input import read_input, read_line

if TYPE_CHECKING:
    from ..inference import Inference
    from .run import Run

_TIMEOUT = 600.0


@click.command("chat", cls=Command, timeout="Limit of one completion, such as 90, 90s or 2m (10m).")
@click.argument("name", metavar="GATEWAY")
@click.argument("prompt", required=False)
@click.option("--model", metavar="NAME", help="The model; not needed if the gateway serves a single one.")
@click.option("--system", metavar="TEXT", help="A system message.")
@click.option("--max-tokens", type=int, metavar="N", help="How many tokens a completion has at most.")
@click.pass_obj
def command(
    run: "Run", /, name: str, prompt: str | None, model: str | None, system: str | None, max_tokens: int | None
) -> None:
    """Talk to a model behind a gateway, which is named by name or id.

    The completion of PROMPT is streamed to standard output; `-` reads the prompt from standard input. Without a prompt
    it converses, a line each, until the end of the input (Ctrl-D).
    """
    gateway = find(run, GATEWAYS, name)
    model = model or _only_model(run, gateway.spec.id, gateway.spec.name)
    body: dict[str, Any] = {"model": model} | ({} if max_tokens is None else {"max_tokens": max_tokens})
    messages = [{"role": "system", "content": system}] if system else []
    with run.client.inference(gateway, timeout=run.timeout or _TIMEOUT) as inference:
        if prompt is not None:
            text = read_input() if prompt == "-" else prompt
            _stream(run, inference, [*messages, {"role": "user", "content": text}], body)
        else:
            _converse(run, inference, messages, body)


def _converse(run: "Run", inference: "Inference", messages: list[dict[str, str]], body: dict[str, Any]) -> None:
    run.note(f"{one_line(body['model'])}: type a message; Ctrl-D ends it")
    asks = Screen(sys.stdin).is_terminal and not run.quiet
    while True:
        if asks:
            output.write(sys.stderr, "> ")
        line = read_line()
        if not line:
            return
        if not line.strip():
            continue
        messages.append({"role": "user", "content": line.strip()})
        try:
            messages.append({"role": "assistant", "content": _stream(run, inference, messages, body)})
        except InferenceError as error:
            for text in failure_of(error, run.path).lines:
                output.complain(text)
            messages.pop()


def _stream(run: "Run", inference: "Inference", messages: list[dict[str, str]], body: dict[str, Any]) -> str:
    """Print a completion as it comes, and return it."""
    is_open = False
    with inference.chat.completions.stream(messages=messages, **body) as stream:
        try:
            for chunk in stream:
                run.write(printable(chunk.text))
                is_open = is_open or bool(chunk.text)
        finally:
            if is_open:
                run.write("\n")
        return stream.text


def _only_model(run: "Run", gateway_id: str, gateway_name: str) -> str:
    """Return the one model that a gateway serves."""
    found = run.client.deployments.list(parent_gateway_id=gateway_id)
    models = sorted({each.spec.model.name for each in found if not each.spec.disabled})
    if len(models) == 1:
        return models[0]
    if not models:
        raise CommandError(
            f"gateway {gateway_name} serves no model",
            code=USAGE,
            advice=f"to see its deployments: cwinference deployments list --gateway {gateway_name}",
        )
    raise CommandError(
        f"gateway {gateway_name} serves {len(models)} models; use --model {'|'.join(models)}", code=USAGE
    )
