"""Near misses: which word somebody may have meant."""

from collections.abc import Iterable


def similar(word: str, words: Iterable[str]) -> list[str]:
    """Return up to three of the words, the most similar first. What differs only in case, `-` and `_` is the same."""
    from difflib import get_close_matches

    by_plain = {_plain(each): each for each in words}
    wanted = _plain(word)
    if wanted in by_plain:
        return [by_plain[wanted]]
    below = [each for plain, each in by_plain.items() if wanted and plain.split(".")[-1] == wanted.split(".")[-1]]
    longer = [each for plain, each in by_plain.items() if len(wanted) > 2 and plain.startswith(wanted)]
    return below[:3] or longer[:3] or [by_plain[each] for each in get_close_matches(wanted, by_plain, 3, 0.7)]


def did_you_mean(word: str, words: Iterable[str], *, choose: bool = False) -> str:
    """Return `; did you mean --zones?`; if no word is similar, nothing, or with `choose` all of them."""
    every = [*words]
    found = similar(word, every)
    if not found:
        return f"; choose from {', '.join(every)}" if choose else ""
    return f"; did you mean {' or '.join(found)}?"


def _plain(word: str) -> str:
    return word.lower().replace("_", "-").lstrip("-")
