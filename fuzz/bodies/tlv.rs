//! BER-TLV: every object, nested ones too, is written back to the octets it came from.

use card::tlv::{self, TlvReader};

/// Deeper than any data object of ours.
const DEPTH_MAX: u8 = 8;

pub(super) fn run(data: &[u8]) {
    walk(data, 0);
}

fn walk(data: &[u8], depth: u8) {
    let mut objects = TlvReader::new(data);
    while !objects.is_empty() {
        let Ok(object) = objects.read() else {
            return;
        };
        assert!(object.value.len() < object.encoded.len());
        if depth == 0 {
            // Once at the top is enough: the value is copied whole.
            assert_eq!(tlv::encode(object.tag, object.value), object.encoded);
        }
        if depth < DEPTH_MAX {
            walk(object.value, depth + 1);
        }
    }
}
