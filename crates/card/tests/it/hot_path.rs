//! What a command costs in memory: parsing and walking data objects nothing, a whole command one
//! allocation, the answer.

use crate::town::{adult, hex, status};
use allocation_counter::measure;
use card::EmulatedCard;
use card::apdu::{CommandApdu, ResponseApdu};
use card::tlv::{Tag, TlvReader, encode, read_one};
use protocol::entropy::Seeded;

fn allocations(work: impl FnOnce()) -> u64 {
    measure(work).count_total
}

#[test]
fn parsing_and_walking_allocate_nothing() {
    let command = hex("802A029720 0101010101010101010101010101010101010101010101010101010101010101 00");
    let response = [vec![7; 256], hex("9000")].concat();
    let mut objects = Vec::new();
    for number in 1..=30 {
        objects.extend(encode(Tag(0x80 + number), &vec![1; 9 * usize::try_from(number).unwrap()]));
    }
    let tree = encode(Tag(0x7F21), &encode(Tag(0x7F4E), &objects));
    let mut seen = 0;
    let count = allocations(|| {
        seen += CommandApdu::parse(&command).map_or(0, |parsed| parsed.data.len());
        seen += ResponseApdu::parse(&response).map_or(0, |parsed| parsed.data.len());
        let (outer, _) = read_one(&tree).unwrap();
        let mut reader = TlvReader::new(read_one(outer.value).unwrap().0.value);
        while !reader.is_empty() {
            seen += reader.read().unwrap().value.len();
        }
    });
    assert_eq!(seen, 32 + 256 + 9 * (30 * 31 / 2));
    assert_eq!(count, 0);
}

#[test]
fn a_command_allocates_its_answer_and_nothing_else() {
    let mut patient = adult();
    let mut entropy = Seeded::new(1);
    assert_eq!(status(&mut patient, "00A4040C0A D392F000260100000001"), 0x9000);
    // The first wrong PIN makes room for its counter, once in the card's life.
    assert_eq!(status(&mut patient, "0020009804 39393939"), 0x63C2);
    for command in [
        "00A4040C0A D392F000260100000001",
        "00A4020C02 000A",
        "00B0000000",
        "00B08A0000",
        "00B00000 000000",
        "00200098",
        "0020009804 31323334",
        "0020009804 39393939",
        "0020009804 31323334",
        "00B0810004",
        "00A4020C02 0777",
        "00CA000000",
        "E0000000",
        "802A009820 0101010101010101010101010101010101010101010101010101010101010101 00",
    ] {
        let command = hex(command);
        let count = allocations(|| drop(patient.transmit(&command, &mut entropy)));
        assert_eq!(count, 1, "{command:02X?}");
    }
}
