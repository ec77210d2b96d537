"""Keeps what is drawn to those rules of the document that no schema can say."""

import schemathesis


def in_digits(value):
    """A whole number is written in digits alone."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [in_digits(one) for one in value]
    if isinstance(value, dict):
        return {key: in_digits(one) for key, one in value.items()}
    return value


@schemathesis.hook
def map_body(context, body):
    body = in_digits(body)
    # Each collection has one list of reads.
    if isinstance(body, dict) and isinstance(body.get("reads"), list):
        seen = []
        for number, one in enumerate(body["reads"]):
            if isinstance(one, dict) and isinstance(one.get("collection"), str):
                if one["collection"] in seen:
                    one["collection"] = f"another {number}"
                seen.append(one["collection"])
    return body


@schemathesis.hook
def filter_case(context, case):
    # What schemathesis 4.32 makes of `not` for its coverage is 0, whatever `type` and `pattern` say.
    return str((case.query or {}).get("generation")) != "0"
