"""What is indexed of a customer: tokens that narrow a search down, and texts that decide it.

Each of the fields name, company, e-mail and phone has a text and tokens of its own, since an actor may see one and
not another. In a text stand, each after a blank, a folded word or a run of Han characters, and after such a run how
it is read: every syllable after an apostrophe, then the initials in capitals.

| in the text        | frequent tokens                           | rare tokens                                         |
|--------------------|-------------------------------------------|-----------------------------------------------------|
| ` 张三丰`          | `张` `三` `丰`                            | `张三` `三丰`                                       |
| `'zhang'san'feng.` | `'zhang` `'san` `'feng`                   | `'zhang'san` `'san'feng`                            |
| `ZSF.`             | `ZS` `SF`                                 | `ZSF`                                               |
| ` tencent`         | `te` `ten`: beginnings of 2 and 3 letters | `tenc` `tencen`: of 4, 6, 8 and 12                  |
| ` +8613800138000#` |                                           | `8000`                                              |

In the table a token begins with the block of ids its customer is in, so that the newest are found without all others:
`122.n张` is a name with 张 among 8192 ids, `15:n张三` one with 张三 among 65536.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from zhike.customers.search.pinyin import UNKNOWN, spellings
from zhike.customers.search.words import fold, joined, pieces

PREFIXES = (12, 8, 6, 4, 3, 2)
"""Lengths of the beginnings of words that are tokens; a longer beginning is looked for by the next shorter one."""
_RARE = 4  # letters
LONGEST = 200
"""Characters of a name or firm that are indexed."""
MOST = 20
"""Phone numbers and e-mail addresses of a customer that are indexed."""
FREQUENT, RARE = ".", ":"
"""Marks of the two sorts of tokens."""
BLOCKS = {FREQUENT: 13, RARE: 16}
"""Bits of the ids in a block."""
LETTERS = {"name": "n", "company": "c", "email": "e", "phone": "p"}
"""Field to the letter its tokens begin with; `o` is the owner's id, `t` the team's."""


class Entry(NamedTuple):
    """The row of a customer in `customer_search`, without its id."""

    tokens: str
    name: str
    company: str
    email: str
    phone: str


def entry_of(
    customer_id: int,
    name: str | None,
    company: str | None,
    emails: Sequence[str],
    phones: Sequence[str],
    owner: int | None = None,
    team: int | None = None,
) -> Entry | None:
    """Return what is indexed of a customer, or None if there is nothing; tokens are joined by blanks."""
    if not (name or company or emails or phones):
        return None
    often, rarely = [f"{customer_id >> BLOCKS[mark]}{mark}" for mark in (FREQUENT, RARE)]
    texts = ["", "", "", ""]
    tokens: set[str] = set()
    for place, letter, values in ((0, "n", (name,)), (1, "c", (company,)), (2, "e", emails[:MOST])):
        for value in values:
            if value:
                text, frequent, rare = _indexed(value[:LONGEST])
                texts[place] += text
                tokens.update([often + letter + token for token in frequent])
                tokens.update([rarely + letter + token for token in rare])
    for phone in phones[:MOST]:
        texts[3] += f" {phone}#"
        tokens.add(f"{rarely}p{phone[-4:]}")
    if not tokens:
        return None
    tokens.update([f"{often}{mark}{value}" for mark, value in (("o", owner), ("t", team)) if value is not None])
    return Entry(" ".join(sorted(tokens)), *texts)


@lru_cache(1024)
def _indexed(value: str) -> tuple[str, list[str], list[str]]:
    """Return the text of a name, a firm or an address, its frequent tokens and its rare ones."""
    text: list[str] = []
    frequent: set[str] = set()
    rare: set[str] = set()
    for piece, han in pieces(joined(fold(value))):
        text.append(" " + piece)
        if not han:
            for length in PREFIXES:
                if length <= len(piece):
                    (rare if length >= _RARE else frequent).add(piece[:length])
            continue
        frequent.update(piece)
        rare.update(grams(piece, 2))
        initials: dict[str, None] = {}
        for way in spellings(piece):
            spelled = ["'" + syllable for syllable in way]
            text.append("".join(spelled) + ".")
            frequent.update(spelled)
            rare.update(map("".join, pairwise(spelled)))
            initials["".join([syllable[0] for syllable in way]).upper()] = None
        for row in initials:
            text.append(row + ".")
            frequent.update(grams(row, 2))
            rare.update(grams(row, 3))
    known, sure = [[token for token in tokens if UNKNOWN not in token] for tokens in (frequent, rare)]
    return "".join(text), known, sure


def grams(run: str, size: int) -> list[str]:
    """Return the pieces of a run of characters that have a size and overlap."""
    return [run[place : place + size] for place in range(len(run) - size + 1)]
