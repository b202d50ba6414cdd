"""Everyday words, by what they do in a request. Only tables: a word of a certain desk never belongs here, that is
what keywords are for.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Written without accents and in lower case, as `fold` makes them.
STOP: Final = _words(
    """
    a an the this that these those of for from to in into on at by with about as and or but if then so than
    too also it its is are was were be been am do does did doing have has had having i me my mine we us our
    you your he she they them their there here what whats which who whom whose when where how why can could
    will would shall should may might must please kindly let lets just now today currently want wants need
    needs like give tell say show s t m re ve ll d not no yes ok okay hello hi hey thanks thank some any all
    each every much many more most very really get got

    der die das den dem des ein eine einen einem einer und oder ist sind war bitte ich mich mir du dich dir
    sie wir ihr mein meine meinen dein deine fur mit von vom zu zum zur im am auf aus bei nach uber wie was
    wer wann wo welche welcher welches es gibt mochte kann konnen nicht mal

    el la los las un una de del y o por para con en que al mi tu le les du et ou pour avec dans est sur je il
    elle nous vous mon ma mes au aux

    알려줘 알려줄래 알려줄래요 주세요 해줘 해주세요 해 줘 좀 은 는 이 가 을 를 의 에 에서 로 으로 와 과
    그리고 현재 지금 무엇 뭐야 얼마야 얼마
    """
)
"""Words that say nothing of what is wanted."""

WEAK: Final = _words(
    """
    list find make create read set add new run start check look use file data name number text current go work
    thing take put see open one two way id value item info information detail result mache zeige zeig finde
    """
)
"""Words that say little: they fit many tools of many desks."""

GROUPS: Final = tuple(
    _words(group)
    for group in (
        "list display view",
        "find search look locate suche such",
        "add put",
        "remove delete drop erase loschen entferne",
        "order buy purchase",
        "book schedule reserve",
        "cancel abort",
        "create make",
        "cost price",
        "multiply times product",
        "divide quotient",
        "sum total plus",
        "subtract minus difference",
        "folder directory",
        "where status track location",
    )
)
"""Words that may stand for each other."""

UNDOING: Final = _words(
    """
    cancel abort stop delete remove drop erase undo revoke refund kill storniere stornieren abbrechen absagen
    loschen entfernen annuler supprimer cancelar borrar eliminar
    """
)
"""Verbs of taking something back: a tool that does not name one must not serve a request that does."""

EFFECTS: Final = UNDOING | _words(
    """
    order add create book send buy pay write update set put make move rename copy upload post publish submit
    schedule reserve register start run place change edit save store transfer assign approve reject close open
    bestelle bestellen buche buchen sende senden
    """
)
"""Verbs that change something: a tool that begins with one is never called only because a few more words point at
it.
"""

AUXILIARY: Final = _words("include with use enable allow only is has should want")
"""Words in the name of a yes-or-no parameter that a request may leave out."""

YES: Final = _words("yes y yep yeah sure ok okay true ja gerne si oui 네 예 응")
NO: Final = _words("no n nope false nein non 아니 아니요")
NOT: Final = _words("no not non without except never dont t ohne kein keine nicht sin sans")
ARTICLES: Final = _words("the a an der die das den dem el la le")
TO: Final = _words("to into as nach zu a hacia vers")
FROM: Final = _words("from of von aus de desde depuis")

NUMBERS: Final = {
    word: number
    for number, words in enumerate(
        (
            "zero 영",
            "eins uno 하나",
            "two zwei deux dos 둘 couple",
            "three drei trois tres 셋",
            "four vier quatre cuatro 넷",
            "five funf cinq cinco 다섯",
            "sechs seis 여섯",
            "seven sieben sept siete 일곱",
            "eight acht huit ocho 여덟",
            "nine neun neuf nueve 아홉",
            "ten zehn dix diez",
            "eleven elf onze",
            "twelve zwolf douze doce dozen dutzend",
        )
    )
    for word in words.split()
} | {
    "six": 6,
    "fifteen": 15,
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
    "hundred": 100,
    "thousand": 1000,
    "million": 1_000_000,
}
"""Numbers as words; without those that more often mean something else (one, ein, 한)."""
