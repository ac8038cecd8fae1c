"""XML of instruments is read, XML that attacks is refused."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from refusals import refusal

from nwbswitch.schemas import xml_guard
from nwbswitch.schemas.errors import InputFileError, NwbswitchError
from nwbswitch.schemas.xml_guard import iterate_xml, read_xml

BRUKER = """<?xml version="1.0" encoding="utf-8"?>
<PVScan version="5.5.64.500" date="3/2/2026 10:00:00 AM" notes="">
  <PVStateShard>
    <PVStateValue key="framePeriod" value="0.033" />
    <PVStateValue key="laserPower"><IndexedValue index="0" value="120" description="Pockels" /></PVStateValue>
  </PVStateShard>
  <Sequence type="TSeries Timed Element" cycle="1" time="10:00:01.5">
    <Frame relativeTime="0" absoluteTime="1.5" index="1">
      <File channel="2" page="1" filename="a_000001.ome.tif" />
      <PVStateShard><PVStateValue key="framePeriod" value="0.034" /></PVStateShard>
    </Frame>
    <Frame relativeTime="0.033" absoluteTime="1.533" index="2"><File channel="2" page="1" /></Frame>
  </Sequence>
  <Sequence type="TSeries Timed Element" cycle="2"><Frame relativeTime="9" index="1" /></Sequence>
</PVScan>
"""


@pytest.fixture
def bruker(tmp_path: Path) -> Path:
    path = tmp_path / "scan.xml"
    path.write_text(BRUKER, encoding="utf-8")
    return path


def tree(element: ET.Element) -> list[tuple[str, dict[str, str], str | None]]:
    return [(each.tag, each.attrib, each.text) for each in element.iter()]


# ---- honest files -----------------------------------------------------------------------------------------


def test_a_file_is_read_as_python_reads_it(bruker: Path) -> None:
    expected = tree(ET.fromstring(BRUKER))
    assert tree(read_xml(bruker)) == expected
    assert tree(read_xml(str(bruker))) == expected
    assert tree(read_xml(BRUKER.encode())) == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    text = f'<?xml version="1.0" encoding="{declared}"?><a unit="µm">é</a>'
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    root = read_xml(tmp_path / "a.xml")
    assert root.get("unit") == "µm"
    assert root.text == "é"


def test_the_word_utf_16_in_a_file_that_is_utf_8() -> None:
    assert read_xml('<?xml version="1.0" encoding="utf-16"?><a b="µ" />'.encode()).get("b") == "µ"


def test_an_encoding_that_is_not_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b'<?xml version="1.0" encoding="utf-7"?><a/>')
    with pytest.raises(InputFileError, match="utf-7"):
        read_xml(tmp_path / "a.xml")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a&#x1;b", "a\ufffdb"),
        (b"a&#1;b&#0;", "a\ufffdb\ufffd"),
        (b"a\x01b\x00", "a\ufffdb\ufffd"),
        (b"a&#xD800;&#x110000;&#99999999;", "a\ufffd\ufffd\ufffd"),
        (b"a\xb5m", "a\ufffdm"),
        (b"\xc0\xbcb\xc0\xbe", "\ufffd\ufffdb\ufffd\ufffd"),
        (b"&#65;&#x42;&lt;&amp;", "AB<&"),
        (b"<![CDATA[&#x1;]]>", "&#xFFFD;"),
    ],
)
def test_characters_that_xml_forbids_become_the_replacement_character(
    raw: bytes, text: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b"<r><v>" + raw + b"</v></r>")
    assert read_xml(path).findtext("v") == text
    assert [each.text for each in iterate_xml(path, ["v"])] == [text]


def test_no_reference_is_cut_between_two_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.xml"
    path.write_text('<r a="&#x1;&#x1;&amp;&#65;µ"><v>&#x1;&lt;b</v></r>', encoding="utf-8")
    expected = tree(read_xml(path))
    for size in range(1, 30):
        monkeypatch.setattr(xml_guard, "_CHUNK", size)
        monkeypatch.setattr(xml_guard, "_HEAD", 256)
        assert tree(read_xml(path)) == expected
        assert [each.text for each in iterate_xml(path, {"v"})] == ["\ufffd<b"]


def test_elements_are_picked_in_order(bruker: Path) -> None:
    found = list(iterate_xml(bruker, {"PVStateShard", "Frame"}, openings={"Sequence", "PVScan"}))
    assert [each.tag for each in found] == [
        *("PVScan", "PVStateShard", "Sequence", "Frame", "Frame", "Sequence", "Frame")
    ]
    assert found[0].get("version") == "5.5.64.500"
    assert len(found[2]) == 0
    assert found[2].get("cycle") == "1"
    assert tree(found[3]) == tree(next(ET.fromstring(BRUKER).iter("Frame")))
    assert list(iterate_xml(bruker, {"Nothing"})) == []


def test_names_with_a_namespace(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text('<o xmlns="urn:ome"><p i="1"/><p i="2"/></o>')
    assert [each.get("i") for each in iterate_xml(tmp_path / "a.xml", {"{urn:ome}p"})] == ["1", "2"]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import tracemalloc

    frame = (
        '<Frame index="{0}"><File filename="a_{0}.tif" /><Shard><Value key="k" value="1" /></Shard></Frame>\n'
    )
    peaks = []
    for frames in (2_000, 20_000):
        path = tmp_path / f"{frames}.xml"
        path.write_text("<S>" + "".join(frame.format(number) for number in range(frames)) + "</S>")
        tracemalloc.start()
        assert sum(1 for _ in iterate_xml(path, {"Frame"})) == frames
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 40_000_000


# ---- attacks ----------------------------------------------------------------------------------------------

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
DOCTYPES = {
    "billion laughs": f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a>&l11;</a>',
    "quadratic blow-up": f'<!DOCTYPE a [<!ENTITY b "{"x" * 100_000}">]><a>{"&b;" * 100_000}</a>',
    "external entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "external entity of the net": '<!DOCTYPE a [<!ENTITY x SYSTEM "http://127.0.0.1:1/x">]><a>&x;</a>',
    "external document type": '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a/>',
    "public document type": '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN" "http://127.0.0.1:1/x"><html/>',
    "parameter entity": '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><a/>',
    "attribute default": '<!DOCTYPE a [<!ATTLIST a b CDATA "c">]><a/>',
    "a plain document type": "<!DOCTYPE a><a/>",
    "after a comment": "<!-- x -->\n<?p i?><!DOCTYPE a><a/>",
}


@pytest.mark.parametrize("attack", list(DOCTYPES))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_are_refused(attack: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(DOCTYPES[attack].encode(encoding))
    with refusal(path, "DOCTYPE"):
        read_xml(path)
    with refusal(path, "DOCTYPE"):
        list(iterate_xml(path, {"a"}))


def test_text_in_memory_is_called_by_its_file(tmp_path: Path) -> None:
    with refusal(tmp_path / "a.tif", "DOCTYPE"):
        read_xml(b"<!DOCTYPE a><a/>", name=tmp_path / "a.tif")
    with pytest.raises(InputFileError, match="^XML text: is not well-formed"):
        read_xml(b"<a>")


def test_entities_without_a_document_type_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<a>&secret;</a>")
    with pytest.raises(InputFileError, match="undefined entity"):
        read_xml(tmp_path / "a.xml")


@pytest.mark.parametrize("tags", [{"a"}, {"nothing"}])
def test_depth_is_limited(tags: set[str], tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<a>" * 100_000 + "</a>" * 100_000)
    with refusal(path, "256 deep"):
        read_xml(path)
    with refusal(path, "256 deep"):
        list(iterate_xml(path, tags))


def test_numbers_of_elements_and_attributes_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xml_guard, "MAX_PARTS", 1000)
    elements, attributes = tmp_path / "a.xml", tmp_path / "b.xml"
    elements.write_text("<r>" + "<a/>" * 2000 + "</r>")
    attributes.write_text("<r><a " + " ".join(f'b{n}=""' for n in range(2000)) + "/></r>")
    for path in (elements, attributes):
        with refusal(path, "more than 1000 elements and attributes"):
            read_xml(path)
    with refusal(attributes, "more than 1000"):
        list(iterate_xml(attributes, {"a"}))
    assert len(list(iterate_xml(elements, {"a"}))) == 2000
    with refusal(elements, "more than 1000"):
        list(iterate_xml(elements, {"r"}))


def test_a_tag_without_an_end_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_guard, "MAX_TOKEN", 2 << 20)
    for number, start in enumerate(('<a b="', "<a><!--", "<a><?p ", "<a")):
        path = tmp_path / f"{number}.xml"
        path.write_text(start + "x" * (10 << 20))
        with refusal(path, "more than 2097152 characters"):
            list(iterate_xml(path, {"a"}))


def test_sizes_are_limited(bruker: Path) -> None:
    with refusal(bruker, "more than the 100 that are read"):
        read_xml(bruker, max_bytes=100)
    with refusal(bruker, "more than the 100 that are read"):
        list(iterate_xml(bruker, {"Frame"}, max_bytes=100))
    with pytest.raises(InputFileError, match="more than the 3"):
        read_xml(b"<a/>", max_bytes=3)


@pytest.mark.parametrize(
    "data", [b"", b"<a", b"<a></b>", b"no xml", b"<a/><b/>", b"\x89PNG", b"<a\x01!DOCTYPE>"]
)
def test_damaged_files(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(data)
    for reading in (lambda: read_xml(path), lambda: list(iterate_xml(path, {"a"}))):
        with refusal(path, "not well-formed", InputFileError):
            reading()


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "not a file"), (tmp_path / "none.xml", "not there")):
        with refusal(path, words, InputFileError):
            read_xml(path)
        with refusal(path, words, InputFileError):
            list(iterate_xml(path, {"a"}))


def test_random_damage_never_raises_anything_else(bruker: Path) -> None:
    rng = np.random.default_rng(2)
    data = BRUKER.encode()
    refused = 0
    for _ in range(1500):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), size=3):
            damaged[place] = rng.integers(0, 256)
        bruker.write_bytes(damaged)
        try:
            read_xml(bruker)
            list(iterate_xml(bruker, {"Frame"}))
        except NwbswitchError:
            refused += 1
    assert refused > 500
