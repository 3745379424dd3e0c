"""How a spreadsheet of some country wants its CSV: what stands between cells, and what within numbers.

Source: the decimal signs of the Unicode CLDR.
"""

import re
from dataclasses import dataclass

from vidconcept.errors import UsageError

# fmt: off
_COMMA = frozenset({
    "af", "az", "be", "bg", "bs", "ca", "cs", "da", "de", "el", "es", "et", "eu", "fi", "fr", "gl",
    "hr", "hu", "hy", "id", "is", "it", "ka", "kk", "lt", "lv", "mk", "nb", "nl", "nn", "no", "pl",
    "pt", "ro", "ru", "sk", "sl", "sq", "sr", "sv", "tr", "uk", "uz", "vi",
})
_POINT = frozenset({
    "am", "bn", "cy", "en", "fa", "ga", "gu", "he", "hi", "ja", "kn", "ko", "ml", "mr", "ms", "my",
    "ne", "pa", "si", "sw", "ta", "te", "th", "ur", "zh", "zu",
})
# fmt: on
# Regions that do not write as their language does elsewhere.
_OTHERWISE = {
    **dict.fromkeys(("de-ch", "de-li", "it-ch", "es-mx", "es-us", "es-pr", "es-gt", "es-hn", "es-ni", "es-pa"), "."),
    **dict.fromkeys(("es-pe", "es-sv", "es-do"), "."),
    "en-za": ",",
}
# Regions that write a point, and put a semicolon between the cells all the same.
_SEMICOLON = frozenset({"de-ch", "de-li", "it-ch"})


@dataclass(frozen=True, slots=True)
class CsvStyle:
    """separator: between cells. decimal: the sign within numbers. bom: whether the file begins with its mark."""

    separator: str = ","
    decimal: str = "."
    bom: bool = False


PLAIN = CsvStyle()


def choose_excel_style(locale: str | None) -> CsvStyle:
    """CSV that opens by double click: a byte order mark, and `;` where numbers have a comma, which is the default.

    locale: such as de, fr-CH or en_US.UTF-8. Raises UsageError for one that is not known.
    """
    if locale is None:
        return CsvStyle(";", ",", True)
    match = re.fullmatch(r"([a-z]{2,3})(?:[-_]([a-z]{2}))?(?:[.@].*)?", locale.lower())
    language, region = (match[1], match[2]) if match else ("", None)
    if language not in _COMMA | _POINT:
        raise UsageError(
            f"`locale={locale!r}` is not known. Next: a language, and where it matters a region, e.g. de-CH"
        )
    place = f"{language}-{region}"
    decimal = _OTHERWISE.get(place, "," if language in _COMMA else ".")
    return CsvStyle(";" if decimal == "," or place in _SEMICOLON else ",", decimal, True)
