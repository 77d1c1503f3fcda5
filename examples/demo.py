"""From nothing to a streamed completion: an emulated API, a gateway, a deployment, and a question to its model.

`make demo` runs it with a small real model. Without make: `python examples/demo.py [--model SPEC] [--state FILE]`.
SPEC is what `cwinference emulator --model` takes; without it, completions come from a built-in text generator.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from cwinference import Client, State, describe, errors, types
from cwinference.emulator import Emulator
from cwinference.inference import Inference

MODEL = "demo/smollm2"
QUESTION = "Explain in one sentence what a GPU is good at."

NEXT = """\
from cwinference import Client, describe
client = Client("CW-SECRET-emulator-admin", endpoint="http://127.0.0.1:8080")
gateway = client.gateways.list()[0]
print(describe(gateway))
inference = client.inference(gateway)
question = [{"role": "user", "content": "Write one sentence about the sea."}]
with inference.chat.completions.stream(model="demo/smollm2", messages=question) as stream:
    for chunk in stream: print(chunk.text, end="", flush=True)
"""

COLORS = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def main() -> None:
    """Run the demo and print what to try next."""
    parser = argparse.ArgumentParser(description="From nothing to a streamed completion, on an emulated Inference API.")
    parser.add_argument("--model", metavar="SPEC", help="demo, <path>.gguf or http://<host>:<port>")
    parser.add_argument("--state", metavar="FILE", type=Path, help="file for the emulator's resources; replaced")
    parser.add_argument("--ready-after", metavar="SECONDS", type=float, default=2.0, help="from create to READY (2)")
    options = parser.parse_args()
    cast(Any, sys.stdout).reconfigure(errors="replace")
    try:
        run(options)
    except errors.InferenceError as error:
        sys.exit(f"demo: {error}")
    print_next_steps(options)


def run(options: argparse.Namespace) -> None:
    """Start the emulator and run the demo against it."""
    if options.state is not None:
        remove_state(options.state)
    print_line("The CoreWeave Inference API in one terminal: everything but the client and the model is emulated.")
    started = time.perf_counter()
    step(1, "An emulator of the API", "Emulator(...)")
    with Emulator(model=options.model, state=options.state, ready_after=options.ready_after) as emulator:
        print_line(f"   {emulator.endpoint} speaks gRPC, Connect and REST")
        print_line(f"   {engine_sentence(options.model)} ({time.perf_counter() - started:.1f} s)")
        with Client(emulator.token, endpoint=emulator.endpoint) as client:
            run_client(client)


def run_client(client: Client) -> None:
    """Create a gateway and a deployment, and request a completion from it."""
    step(2, "A gateway, the entry point for requests", 'client.gateways.create("front", ...)')
    gateway = client.gateways.create(
        "front",
        zones=client.gateways.parameters().zones[:1],
        core_weave_auth=types.CoreWeaveAuth(),
        body_based_routing=types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI),
    )
    gateway = client.gateways.wait(gateway.spec.id, on_change=state_printer())
    print_line(f"   endpoint {gateway.status.endpoints[0]}")

    step(3, "A deployment, which serves a model behind it", 'client.deployments.create("smollm2", ...)')
    parameters = client.deployments.parameters()
    deployment = client.deployments.create(
        "smollm2",
        gateway_ids=[gateway.spec.id],
        runtime=types.DeploymentRuntime(
            engine="vllm", version=parameters.runtime_parameters.runtime_versions["vllm"].versions[-1]
        ),
        resources=types.DeploymentResources(
            instance_type=parameters.resource_parameters.instance_types[0], gpu_count=8
        ),
        model=types.DeploymentModel(name=MODEL, bucket="models", path="smollm2"),
        autoscaling=types.DeploymentAutoscaling(min=1, max=1),
        traffic=types.DeploymentTraffic(),
    )
    client.deployments.wait(deployment.spec.id, on_change=state_printer())

    step(4, "A question to the model", "client.inference(gateway).chat.completions.stream(...)")
    print_line(f"   {QUESTION}\n")
    complete(client.inference(gateway))


def complete(inference: Inference) -> None:
    """Print a completion while it streams, then how fast it arrived."""
    started, first, count = time.perf_counter(), 0.0, 0
    write("   ")
    messages = [{"role": "user", "content": QUESTION}]
    with inference.chat.completions.stream(model=MODEL, messages=messages, max_tokens=80, temperature=0) as stream:
        for chunk in stream:
            if chunk.text:
                first = first or time.perf_counter() - started
                count += 1
                write(bold(chunk.text))
    whole = time.perf_counter() - started
    print_line(
        faint(f"\n\n   first text after {first:.2f} s, then {count / max(whole - first, 1e-9):.0f} chunks per second")
    )


def state_printer() -> Callable[[Any], None]:
    """Return a callback that prints the state of a resource and the seconds since this call."""
    started = time.perf_counter()

    def on_change(resource: Any) -> None:
        _, *conditions = describe(resource).splitlines()
        print_line(f"   {time.perf_counter() - started:4.1f} s  {bold(State.of(resource).name)}")
        for line in conditions:
            print_line(faint(f"         {line}"))

    return on_change


def engine_sentence(model: str | None) -> str:
    """Return a sentence that says which model serves the deployments."""
    if model == "demo":
        return "SmolLM2-135M-Instruct is loaded and runs on this machine's CPU with llama.cpp"
    return "completions come from a text generator" if model is None else f"completions come from {model}"


def remove_state(state: Path) -> None:
    """Remove the state of an earlier run, including the files that SQLite keeps next to it."""
    for name in (state.name, f"{state.name}-wal", f"{state.name}-shm"):
        state.with_name(name).unlink(missing_ok=True)


def print_next_steps(options: argparse.Namespace) -> None:
    """Print how to continue."""
    python = Path(sys.executable)
    command = [str(relative(python.with_name("cwinference"))), "emulator"]
    command += ["--model", options.model] if options.model else []
    command += ["--state", str(options.state)] if options.state else []
    print_line(bold("\nTo run the emulator again, with this gateway and deployment:\n"))
    print_line(f"   {' '.join(command)}\n")
    print_line(bold(f"Then, in another terminal, start {relative(python)} and enter:\n"))
    print_line(NEXT)


def relative(path: Path) -> Path:
    """Return the path relative to the current directory if it is inside it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def step(number: int, title: str, code: str) -> None:
    """Print the heading of a step."""
    print_line(f"\n{bold(f'{number}  {title}')}  {faint(code)}")


def print_line(line: str) -> None:
    """Print a line immediately."""
    write(f"{line}\n")


def write(text: str) -> None:
    """Print immediately, even when the output is a file or a pipe."""
    sys.stdout.write(text)
    sys.stdout.flush()


def bold(text: str) -> str:
    """Return the text in bold, on a terminal."""
    return f"\x1b[1m{text}\x1b[0m" if COLORS else text


def faint(text: str) -> str:
    """Return the text dimmed, on a terminal."""
    return f"\x1b[2m{text}\x1b[0m" if COLORS else text


if __name__ == "__main__":
    main()
