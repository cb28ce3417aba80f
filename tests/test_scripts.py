"""What a script does beside fetching and calling."""

import runpy
from pathlib import Path

SCRIPTS = Path(__file__).parent.parent / "scripts"


def test_an_rfc_is_written_without_what_repeats_on_every_page() -> None:
    plain = runpy.run_path(str(SCRIPTS / "rfc-text"))["plain"]
    page = (
        "   A host   asks\n   its router.\n\n\n\n"
        "Narten, et al.              Standards Track                     [Page 4]\n\f\n"
        "RFC 4861               Neighbor Discovery in IPv6         September 2007\n\n\n"
        "   The router answers.\n"
    )
    assert plain(page) == "A host asks\nits router.\n\nThe router answers.\n"
