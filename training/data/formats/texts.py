"""Text and XML files of other programs: read, or refused by the name of the file."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from training.errors import BadInput

__all__ = ["read_text", "read_xml", "xml_events"]

# An encoding that Python does not know is a LookupError, one that its parser does not take a ValueError.
_NOT_XML = (ElementTree.ParseError, LookupError, ValueError)


def read_text(path: Path) -> str:
    """The text of a file without its byte order mark.

    Raises:
        BadInput: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeError as error:
        raise BadInput(f"{path}: {error}, needed text in UTF-8") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def read_xml(path: Path, needed: str) -> Element:
    """The root of an XML file; `needed` says in the message what it should have been.

    Raises:
        BadInput: it cannot be read, or is not XML.
    """
    try:
        return ElementTree.parse(path).getroot()
    except _NOT_XML as error:
        raise _not_xml(path, error, needed) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def xml_events(path: Path, needed: str) -> Iterator[tuple[str, Element]]:
    """('start' or 'end', element) of an XML file, as it is read; otherwise as `read_xml`."""
    try:
        yield from ElementTree.iterparse(path, events=("start", "end"))
    except _NOT_XML as error:
        raise _not_xml(path, error, needed) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _not_xml(path: Path, error: Exception, needed: str) -> BadInput:
    return BadInput(f"{path}: not XML ({error}), needed {needed}")


def _unreadable(path: Path, error: OSError) -> BadInput:
    return BadInput(f"{path}: {error.strerror}, needed a readable file")
