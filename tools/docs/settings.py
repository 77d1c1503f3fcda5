"""The environment variables, and what each one is for. A test compares them with what `config.py` reads."""

from collections.abc import Mapping

from .tables import table

VARIABLES: Mapping[str, str] = {
    "COREWEAVE_API_TOKEN": "Token, if no `token=` or `--token-file` is given.",
    "CW_API_TOKEN": "The same, if `COREWEAVE_API_TOKEN` is not set.",
    "COREWEAVE_API_ENDPOINT": "URL of the API, if no `endpoint=` or `--endpoint` is given.",
    "CW_BASE_URL": "The same, if `COREWEAVE_API_ENDPOINT` is not set.",
    "WANDB_API_KEY": "Key for completions of a gateway with Weights & Biases auth, if no `token=` is given.",
    "SSL_CERT_FILE": "PEM file with the certificate authorities to trust, if no `TLS(ca=...)` or `--ca` is given.",
    "https_proxy": "Proxy for `https://` servers, if no `proxy=` or `--proxy` is given.",
    "HTTPS_PROXY": "The same, if `https_proxy` is not set.",
    "http_proxy": "Proxy for `http://` servers.",
    "HTTP_PROXY": "The same, if `http_proxy` is not set; ignored in CGI programs, where clients could set it.",
    "all_proxy": "Proxy for either, if there is none for the scheme.",
    "ALL_PROXY": "The same, if `all_proxy` is not set.",
    "no_proxy": "What is reached without a proxy: names with their subdomains, addresses, networks, or `*`.",
    "NO_PROXY": "The same, if `no_proxy` is not set.",
    "REQUEST_METHOD": "If set, the program is a CGI program: see `HTTP_PROXY`.",
    "RAY_ADDRESS": "Ray cluster of `cwinference.ray.batch` and `--ray`, if no address is given.",
    "FORCE_COLOR": "If set, commands color their output although it is no terminal.",
    "GRPC_TRACE": "Only looked at, to warn when it makes gRPC print tokens.",
}
"""What is read in this order, if several are set. An empty one counts as not set."""


def environment() -> str:
    """Return the table of environment variables."""
    return table(("variable", "what it sets"), ((f"`{name}`", text) for name, text in VARIABLES.items()))
