"""Documents that carry a third party's text: e-mail, page, code, review, calendar entry, CV, ticket, tool result.

Attacks and innocent notes are put into the same documents, so that the document does not reveal the label.
"""

from __future__ import annotations

import json
from random import Random

from training.synthetic.grammar import Grammar

FORMS = ("mail_body", "web", "code_file", "review", "calendar", "resume", "ticket", "image_text", "record", "tool_text")


def embedded(grammar: Grammar, random: Random, payload: str) -> str:
    """Returns a random document that contains the payload, often with the user's question before or after it."""
    slots = {"payload": payload, "json_payload": json.dumps(payload, ensure_ascii=False)[1:-1]}
    document = grammar.text(random, random.choice(FORMS), slots)
    if random.random() < 0.3:
        pages = [grammar.text(random, "page"), document]
        document = "\n\n".join(pages if random.random() < 0.5 else reversed(pages))
    draw = random.random()
    if draw < 0.4:
        return f"{grammar.text(random, 'ask_before')}\n\n{document}"
    if draw < 0.55:
        return f"{document}\n\n{grammar.text(random, 'ask_after')}"
    return document
