"""The envelope: a change as one JSON object on Kafka, and back. Pure code, no I/O.

A record's value is compact JSON with the keys in this order, the document last:

    {"v":1,"op":"update","ns":"game.players","pos":"1764046833.0000000002.0000000000","ts":1764046833120,
     "id":{"$oid":"..."},"missing":true,"before":{..},"update":{..},"doc":{..}}

`schema.json` beside this file describes it. Documents are real objects, never strings of JSON, in relaxed
Extended JSON v2: plain JSON wherever JSON can say it, a wrapper such as `{"$oid": ...}` for the rest. A
document whose own first field starts with `$` travels as `{"$escaped": {...}}`, so user data is never taken
for a wrapper and every document comes back as it was. A record's key is `{"_id": ...}` in a canonical form:
values that MongoDB treats as the same `_id` (1, 1.0, NumberDecimal("1.00")) give the same bytes, all others
different bytes.

What is lost, and only this: the width of integers (int32 or int64), which of several equal NaN bit patterns
it was, and what the driver drops itself (of fields with the same name the last stays, symbol becomes string,
undefined becomes null, DBPointer becomes DBRef).

`codec_options` and `decode_document` say how the driver has to decode; `Encoder` writes, `decode` reads,
`parse_document` turns Extended JSON back into BSON values.
"""

from __future__ import annotations

from cdc_cli.envelope.bson_values import codec_options, decode_document
from cdc_cli.envelope.decode import Envelope, decode
from cdc_cli.envelope.encode import Encoder
from cdc_cli.envelope.parse import parse_document

__all__ = ["Encoder", "Envelope", "codec_options", "decode", "decode_document", "parse_document"]
