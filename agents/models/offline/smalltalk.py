"""Greetings, thanks and questions about the model itself: told from requests, so that neither is taken for the
other.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from .words import fold

_END: Final = r"[\s,.!?~]*"
_GREETING: Final = (
    r"(?:hello|hi|hey|hallo|guten (?:tag|morgen|abend)|good (?:morning|afternoon|evening|day)|bonjour|salut|hola|ciao"
    r"|moin|servus|안녕\w*|こんにちは|你好)(?: there| you)?"
)
_QUESTION: Final = (
    r"(?:who|what) are you|what(?: else)? can (?:you|i|this desk|we) (?:do|ask)\w*(?: here| for me)?|what do you do"
    r"|help(?: me)?(?: please)?|what is this|introduce yourself|how does this work"
    r"|are you (?:an? )?(?:real |human|bot|ai|robot|language model|llm|chatgpt)\w*"
    r"|wer bist du|was kannst du(?: tun)?|hilfe|qui es[- ]tu|aide|quien eres|ayuda"
    r"|(?:넌 |너는 |당신은 )?누구\w*|뭐 ?할 ?수 ?있\w*|무엇을 ?할 ?수 ?있\w*|도움말|도와줘"
)
_ABOUT: Final = re.compile(rf"(?:{_GREETING})?{_END}(?:{_QUESTION})?{_END}")
_THANKS: Final = re.compile(
    r"(?:thanks?(?: you)?(?: (?:so|very) much| a lot)?|thx|danke(?: schon)?|merci|gracias|감사\w*|고마워\w*|ok|okay"
    rf"|great|bye|goodbye|tschuss){_END}"
)
_NEVER_MIND: Final = re.compile(
    rf"(?:never ?mind|forget (?:it|that)|no(?:pe)?,? ?thanks?|nothing|vergiss es|egal|됐어\w*|아니야){_END}"
)


def small_talk(text: str) -> Literal["about", "thanks", "never mind"] | None:
    """``about`` when the text greets or asks who this is, ``thanks`` when it only thanks; None for everything else."""
    said = fold(text).strip()
    if not said or len(said) > 200:
        return None
    if _NEVER_MIND.fullmatch(said):
        return "never mind"
    return "thanks" if _THANKS.fullmatch(said) else "about" if _ABOUT.fullmatch(said) else None
