//! A My Number Card of a batch: one touch by profile `eac`, beside the other profile on the same card.

use crate::eac_town::{EacTown, day, through};
use crate::town::{AUTHORITY, Terminal, adult_holder, hex, powered, send, status};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use card::EmulatedCard;
use card::apdu::StatusWord;
use card::cos::ExtensionTag;
use card::eac::card_side::EacMemory;
use card::eac::terminal_side::EacError;
use card::image::Aid;
use card::my_number_card::jpki::JPKI_AID;
use card::my_number_card::{MyNumberCard, PersistentState, SignatureCounts};

#[test]
fn the_key_signs_once_through_the_channel() {
    let town = EacTown::new();
    let mut patient = town.card();
    let channel = town.touch(&mut patient).unwrap();
    let holder = adult_holder();
    // The certificate in one command: the channel takes the extended form by itself.
    let (certificate, status, channel) = through(channel, &mut patient, &hex("00B08A00 000000"));
    assert_eq!((certificate, status), (holder.card_holder_auth.end_entity_der, StatusWord::OK));
    let mut sign = hex("802A029720");
    sign.extend_from_slice(digest(&SHA256, b"statement").as_ref());
    sign.push(0);
    let (signature, status, channel) = through(channel, &mut patient, &sign);
    assert_eq!(status, StatusWord::OK);
    let key =
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, holder.card_holder_auth.private_key.spki_der());
    key.verify(b"statement", &signature).unwrap();
    let (_, status, channel) = through(channel, &mut patient, &sign);
    assert_eq!(status, StatusWord::SECURITY_STATUS);
    // The signature key and its certificate stay shut.
    let (_, status, channel) = through(channel, &mut patient, &hex("00B08100 00"));
    assert_eq!(status, StatusWord::SECURITY_STATUS);
    sign[3] = 0x9A;
    let (_, status, _) = through(channel, &mut patient, &sign);
    assert_eq!(status, StatusWord::SECURITY_STATUS);
    assert_eq!(patient.signatures(), SignatureCounts { card_holder_auth: 1, document_signature: 0 });
    assert_eq!((patient.auth_pin_tries_left(), patient.sign_password_tries_left()), (3, Some(5)));
}

#[test]
fn one_card_speaks_both_profiles_and_keeps_them_apart() {
    let town = EacTown::new();
    let mut patient = town.card();
    town.touch(&mut patient).unwrap();
    // A plain command ends the channel and takes the use away.
    assert_eq!(
        status(
            &mut patient,
            "802A029720 0000000000000000000000000000000000000000000000000000000000000000 00"
        ),
        0x6982
    );
    assert!(Terminal::in_the_clear(&AUTHORITY).touch(&mut patient).is_ok());
    let channel = town.touch(&mut patient).unwrap();
    // Another application, protected or not: the keys are gone.
    let (wrapped, _) = channel.wrap(&hex("00A4040C 0A D392F000260100000001")).unwrap();
    assert!(send(&mut patient, &wrapped).0.len() > 2);
    assert!(town.touch(&mut patient).is_ok());
    patient.power_off();
    patient.power_on();
    assert!(Terminal::in_the_clear(&AUTHORITY).touch(&mut patient).is_ok());
    assert!(town.touch(&mut patient).is_ok());
}

#[test]
fn private_objects_are_not_readable_and_a_card_without_batch_has_none() {
    let town = EacTown::new();
    let mut patient = town.card();
    status(&mut patient, "00A4040C0A D392F000260100000001");
    for (file, word) in [("011C", 0x9000), ("011D", 0x9000), ("011E", 0x6981), ("011F", 0x6981)] {
        assert_eq!(status(&mut patient, &format!("00A4020C02 {file}")), 0x9000);
        assert_eq!(send(&mut patient, &hex("00B0000000")).1, word, "{file}");
    }
    let mut plain = powered(MyNumberCard::new(adult_holder().image().unwrap()));
    assert_eq!(town.touch(&mut plain).unwrap_err(), EacError::NoProfile);
    assert_eq!(status(&mut plain, "002241A4 0F 800A04007F00070202030202 84011F"), 0x6A86);
}

#[test]
fn the_date_survives_a_power_cut() {
    let town = EacTown::new();
    let mut patient = town.card();
    assert_eq!(*patient.persistent_state(), PersistentState::factory());
    town.touch(&mut patient).unwrap();
    let kept = patient.persistent_state().to_bytes();
    let aid = Aid::new(&JPKI_AID).unwrap();
    let state = PersistentState::from_bytes(&kept).unwrap();
    let memory = state.extension(aid, ExtensionTag::EFFECTIVE_DATE).unwrap();
    assert_eq!(EacMemory::from_bytes(memory).unwrap().today(), day(27, 1, 14));
    // The next touch has nothing to add.
    town.touch(&mut patient).unwrap();
    assert_eq!(patient.persistent_state().to_bytes(), kept);
}
