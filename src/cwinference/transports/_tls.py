"""What errors say about failed TLS handshakes, whatever library reports them."""

UNUSABLE_TLS = "tls: the certificates or the key cannot be used"
"""What is said of PEM blocks with which no connection can be made."""

_ADVICE = {
    "; the server does not speak TLS: is the endpoint http://?": ("WRONG_VERSION_NUMBER", "InvalidContentType"),
    "; the certificate is of another host: is this the right endpoint?": (
        "NotValidForName",
        "not valid for name",
        "Hostname Verification Check failed",
    ),
    "; the server has the certificate of an authority itself: give it one for servers (CA:FALSE)": (
        "CaUsedAsEndEntity",
    ),
    "; trust its authority with tls=TLS(ca=...)": (
        "UnknownIssuer",
        "BadSignature",  # an authority of this name is trusted, but has another key
        "UnsupportedSignatureAlgorithm",  # likewise, of another kind
        "self signed",
        "unable to get local issuer",
    ),
}


def tls_advice(text: str) -> str:
    """Return what to do about a failed handshake, to be appended to its text; empty if that is not known."""
    return next((advice for advice, signs in _ADVICE.items() if any(sign in text for sign in signs)), "")
