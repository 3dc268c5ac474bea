"""The tests of libiscsi's newest source that differ from those of the installed suite (`conformance_table`).

The source is built outside the repository with `--enable-test-tool`: `python -m tests.interop.conformance_run --program PATH`
runs its `iscsi-test-cu`. Without the development files of GnuTLS, the program has no tests of CHAP in base64.
"""

from tests.interop.conformance_table import ACCEPTED as ACCEPTED_OF_INSTALLED
from tests.interop.conformance_table import HUGE_LUN, Verdict, named_in
from tests.interop.conformance_table import LUNS as LUNS_OF_INSTALLED
from tests.interop.conformance_table import TESTS as TESTS_OF_INSTALLED

FAMILIES: dict[str, str] = {
    # family: its tests that the installed suite does not have
    "SCSI.CompareAndWrite": "MiscompareSense",
    "SCSI.ExtendedCopy": "Large",
    "SCSI.Inquiry": "VPDPageCodesSorted",
    "SCSI.ReportLUNs": "Simple",
    "SCSI.ReportTargetPortGroups": "AllocLength Simple",
    "iSCSI.iSCSICHAP": "Base64 Base64Name Base64Oversize HexName Invalid Simple",
    "iSCSI.iSCSINop": "Simple",
    "iSCSI.iSCSISendTargets": "Invalid Simple",
    "iSCSI.iSCSITMF": "LogoutDuringIOAsync",
}

LUNS: dict[str, tuple[int, str]] = {
    **LUNS_OF_INSTALLED,
    "SCSI.ExtendedCopy.Large": (
        HUGE_LUN,
        "it copies a segment of the maximum length, 256 MiB, and needs a LUN of twice this size",
    ),
}

CHAP_USERS: dict[str, str] = {
    # test: CHAP user with which it logs in
    **{f"iSCSI.iSCSICHAP.{test}": "user" for test in ("Base64", "Base64Oversize", "Invalid", "Simple")},
    "iSCSI.iSCSICHAP.Base64Name": "0bdXNlcg==",
    "iSCSI.iSCSICHAP.HexName": "0x75736572",
}

_QUEUE_IS_EMPTY = (
    "it expects a WRITE in its queue, but this version of the library writes to an idle socket at once; with every target"
)

ACCEPTED: dict[str, tuple[Verdict, str]] = {
    **ACCEPTED_OF_INSTALLED,
    "SCSI.CompareAndWrite.InvalidDataOutSize": (
        Verdict.FAILED,
        "it changes the CDBs of all PDUs except SCSI commands, so that a valid COMPARE AND WRITE is sent; other data is a"
        " miscompare (0Eh/1Dh, SBC-3 5.2)",
    ),
    "iSCSI.iSCSISendTargets.Simple": (
        Verdict.FAILED,
        "it sends SendTargets=All in a normal session, where this value must not be supported (RFC 7143 Appendix C)",
    ),
    "iSCSI.iSCSISendTargets.Invalid": (
        Verdict.HUNG,
        "a key that is not understood is answered with NotUnderstood (RFC 7143 6.2), on which the library closes the"
        " connection, and waits for ever for the answer to the request after it",
    ),
    "iSCSI.iSCSITMF.AbortTaskSimpleAsync": (Verdict.FAILED, _QUEUE_IS_EMPTY),
    "iSCSI.iSCSITMF.LUNResetSimpleAsync": (Verdict.FAILED, _QUEUE_IS_EMPTY),
}

TOGETHER: dict[str, tuple[str, int]] = {}
"""No test needs the test before it any more."""

TESTS: dict[str, Verdict] = {
    name: ACCEPTED.get(name, (Verdict.PASSED, ""))[0] for name in (*TESTS_OF_INSTALLED, *named_in(FAMILIES))
}
