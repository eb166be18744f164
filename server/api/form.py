from server.api.bodies import REFERENCE, UploadFields
from server.api.incoming import validate
from server.api.multipart import Part
from server.problems import InvalidFields, Malformed, TooLarge

FILE = "file"
TEXTS = ("title", "description", "priority")
MAX_TEXT_BYTES = 32 * 1024  # before the limits in characters are looked at
_PROPERTIES = UploadFields.model_json_schema(ref_template=REFERENCE)["properties"]
FORM_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        FILE: {"type": "string", "contentMediaType": "application/octet-stream"},
        **{name: _PROPERTIES[name] for name in TEXTS},
    },
    "required": [FILE],
    "additionalProperties": False,
}


class Form:
    """The upload form's parts, in any order. The file's bytes are counted, not kept."""

    def __init__(self, max_file_bytes: int) -> None:
        self.size = 0
        self._max_file_bytes = max_file_bytes
        self._texts: dict[str, bytes] = {}
        self._file: Part | None = None
        self._current = ""

    @property
    def in_file(self) -> bool:
        return self._current == FILE

    def begin(self, part: Part) -> None:
        if part.name not in (FILE, *TEXTS):
            expected = ", ".join((FILE, *TEXTS))
            raise InvalidFields({part.name[:100] or "name": f"no such field; expected {expected}"})
        if part.name in self._texts or (part.name == FILE and self._file is not None):
            raise InvalidFields({part.name: "was sent twice"})
        self._current = part.name
        if part.name == FILE:
            self._file = part
        else:
            self._texts[part.name] = b""

    def count(self, size: int) -> None:
        self.size += size
        if self.size > self._max_file_bytes:
            raise TooLarge(f"The file may have {self._max_file_bytes} bytes, more than that came.")

    def append(self, data: bytes) -> None:
        self._texts[self._current] += data
        if len(self._texts[self._current]) > MAX_TEXT_BYTES:
            raise InvalidFields({self._current: f"has more than {MAX_TEXT_BYTES} bytes"})

    def finish(self) -> UploadFields:
        if self._file is None:
            raise InvalidFields({FILE: "is missing: send the media file as a part of this name"})
        if self.size == 0:
            raise InvalidFields({FILE: "is empty"})
        fields: dict[str, str | None] = {
            name: _decode(name, text) for name, text in self._texts.items()
        }
        fields["filename"] = _base_name(self._file.filename or "")
        fields["content_type"] = self._file.content_type
        return validate(UploadFields, fields)


def _decode(name: str, text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as exc:
        raise Malformed(f"The field {name} is not UTF-8.") from exc


def _base_name(filename: str) -> str:
    """Some clients send a whole path."""
    return filename.replace("\\", "/").rpartition("/")[2]
