//! GET DATA: which objects answer where, and what refuses them.

use crate::town::{adult, hex, powered, send, status};
use crate::whole_card::whole_card;

const SELECT_JPKI: &str = "00A4040C0A D392F000260100000001";

#[test]
fn the_master_files_objects_answer_until_an_application_is_selected() {
    let mut patient = powered(whole_card());
    let master_file = ["00CA004200", "00CA004500", "00CA00F000", "00CA00F200", "00CA00F8000000"];
    for command in master_file {
        assert_eq!(status(&mut patient, command), 0x9000, "{command}");
    }
    assert_eq!(status(&mut patient, SELECT_JPKI), 0x9000);
    for command in master_file {
        assert_eq!(send(&mut patient, &hex(command)), (Vec::new(), 0x6A88), "{command}");
    }
    let atr = (hex("E000FF8131FE4514"), 0x9000);
    assert_eq!(send(&mut patient, &hex("00CA5F5100")), atr);
    let mut patient = powered(whole_card());
    assert_eq!(send(&mut patient, &hex("00CA5F5100")), atr);
}

#[test]
fn what_is_not_there_or_does_not_fit_is_refused_whole() {
    let mut patient = powered(whole_card());
    for (command, word) in [
        ("00CA006600", 0x6A88),
        ("00CA7F2100", 0x6A88),
        ("00CADF3005", 0x6A88),
        ("00CA0045", 0x6700),
        ("00CA00450E", 0x6700),
        ("00CA004501FF00", 0x6700),
        // Longer than a short Le takes: neither cut nor its length told.
        ("00CA00F800", 0x6700),
        ("10CA004501FF", 0x6884),
        ("80CA004500", 0x6D00),
        ("00CB3FFF035C017E08", 0x6D00),
    ] {
        assert_eq!(send(&mut patient, &hex(command)), (Vec::new(), word), "{command}");
    }
    assert_eq!(send(&mut patient, &hex("00CA00450F")).0.len(), 15);
    // A card whose image has no such objects does not know the command.
    assert_eq!(status(&mut adult(), "00CA004500"), 0x6D00);
    assert_eq!(status(&mut adult(), "10CA004501FF"), 0x6D00);
}
