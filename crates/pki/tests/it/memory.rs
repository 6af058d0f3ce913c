//! What a list of 33 MB takes in memory while it is read in pieces: exact, because allocations are counted.

use crate::forge::{self, NOW, seal};
use pki::asn1::{tag, write};
use pki::crl::{ListFeed, VerifiedList};
use pki::oid;
use pki::validate::TrustAnchor;
use protocol::entropy::Seeded;

/// As many as fill 33 MB, at 38 octets each.
const ENTRIES: usize = 870_000;
const MEGABYTE: u64 = 1_000_000;

/// A list of entries with serials of five octets, signed; laid out by hand, because a lint over a million
/// entries would take longer than what is measured.
fn list() -> Vec<u8> {
    let mut seeded = Seeded::new(5);
    let reason = forge::extension(&oid::REASON_CODE, false, &write::tlv(tag::ENUMERATED, &[4]));
    let rest = [write::time(NOW), write::sequence(&[&reason])].concat();
    let mut entries = Vec::with_capacity(ENTRIES * 38);
    for number in 0..ENTRIES {
        // Each once, in no order that the table could profit from.
        let low = u32::try_from(number).unwrap().wrapping_mul(0x9E37_79B1).to_be_bytes();
        let top = 0x40 | (seeded.next_u64().to_le_bytes()[0] & 0x3F);
        entries.extend_from_slice(&[
            tag::SEQUENCE,
            u8::try_from(7 + rest.len()).unwrap(),
            tag::INTEGER,
            5,
            top,
        ]);
        entries.extend_from_slice(&low);
        entries.extend_from_slice(&rest);
    }
    let number = forge::extension(&oid::CRL_NUMBER, false, &write::unsigned(&[1]));
    let signer = forge::key(0);
    seal(
        &write::sequence(&[
            &[tag::INTEGER, 1, 1],
            &signer.algorithm().identifier_der(),
            &forge::name("CN=Anchor"),
            &write::time(NOW),
            &write::time(NOW.plus(forge::DAY)),
            &write::tlv(tag::SEQUENCE, &entries),
            &write::explicit(0, &write::sequence(&[&forge::authority_key_identifier(0), &number])),
        ]),
        signer,
    )
}

#[test]
fn a_list_of_33_megabytes_takes_less_than_36_while_it_is_read() {
    let der = list();
    assert!(der.len() as u64 > 33 * MEGABYTE, "{}", der.len());
    let anchors = [TrustAnchor::from_certificate(&forge::Cert::root("CN=Anchor", 0).der()).unwrap()];
    let mut index = None;
    let memory = allocation_counter::measure(|| {
        let mut feed = ListFeed::new(&anchors);
        der.chunks(65_536).for_each(|piece| feed.push(piece).unwrap());
        index = Some(feed.finish().unwrap());
    });
    let Some(VerifiedList::Complete(index)) = index else { panic!("a complete list") };
    assert_eq!(index.len(), ENTRIES);
    // 28 octets an entry and four per bucket stay; growing takes a part of that again for a moment.
    let entries = 28 * ENTRIES as u64;
    assert!(memory.bytes_max < 36 * MEGABYTE, "{} octets at the peak", memory.bytes_max);
    let stays = u64::try_from(memory.bytes_current).unwrap();
    assert!(stays < entries + entries / 8, "{stays} octets stay");
    println!("{} octets at the peak, {stays} stay", memory.bytes_max);
}
