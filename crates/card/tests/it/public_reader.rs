//! A public reader of real cards, written by others, reads ours: its commands, its parsers, its opinion of
//! every file.

use crate::whole_card::{
    ADDRESS, ADDRESS_PICTURE, NAME, NAME_PICTURE, NUMBER, PHOTO, REFERENCE_B, REGISTER_PIN, TEXT_PIN,
    contents_root, whole_card,
};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use card::EmulatedCard;
use card::my_number_card::MyNumberCard;
use myna_card::ap::{
    common::CommonAp, jpki::JpkiAp, juki::JukiAp, surface, surface::SurfaceAp, text, text::TextAp,
};
use myna_card::card::Retries;
use myna_card::data::{CardVerifiableCertificate, Date, Era, ImageFormat, RsaPublicKey, Sex};
use myna_card::mf::{MasterFile, tag};
use myna_card::{Card, Pin, Transmit};
use protocol::entropy::Seeded;

/// The emulated card as the reader's transport.
struct Emulated(MyNumberCard);

impl Transmit for Emulated {
    fn transmit(&mut self, command: &[u8]) -> myna_card::Result<Vec<u8>> {
        Ok(self.0.transmit(command, &mut Seeded::new(6)))
    }
}

fn card() -> Card<Emulated> {
    Card::new(Emulated(whole_card()))
}

fn numeric(octets: &[u8]) -> Pin {
    Pin::numeric(octets).unwrap()
}

/// PKCS#1 v1.5 with SHA-256 under a key as the reader parsed it.
fn holds(key: &RsaPublicKey, message: &[u8], signature: &[u8]) -> bool {
    RsaPublicKeyComponents { n: &key.modulus, e: &key.exponent }
        .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
        .is_ok()
}

fn certified(certificate: &CardVerifiableCertificate) {
    let root = RsaPublicKey { exponent: vec![1, 0, 1], modulus: contents_root().modulus().to_vec() };
    assert!(holds(&root, &certificate.signed_data, &certificate.signature));
    assert_eq!(certificate.issuer_key_id.to_string(), "7000023/001");
}

#[test]
fn text_input() {
    let mut card = card();
    let mut text = TextAp::select(&mut card).unwrap();
    assert_eq!(text.retries(text::ef::PIN).unwrap(), Retries::Remaining(3));
    assert_eq!(text.retries(text::ef::CODE_A).unwrap(), Retries::Remaining(10));
    assert_eq!(text.retries(text::ef::CODE_B).unwrap(), Retries::Remaining(10));
    assert_eq!(text.retries(text::ef::BLOCKED_0012).unwrap(), Retries::Blocked);
    assert!(text.read_my_number().is_err() && text.read_attributes().is_err());
    text.verify_pin(&numeric(TEXT_PIN)).unwrap();
    assert_eq!(text.read_my_number().unwrap().as_bytes(), NUMBER);
    let attributes = text.read_attributes().unwrap();
    assert_eq!((attributes.name.as_str(), attributes.address.as_str()), (NAME, ADDRESS));
    assert_eq!((attributes.birth_date, attributes.sex), (Date { year: 1985, month: 4, day: 1 }, Sex::Female));
    assert_eq!(attributes.split_name(), Some(("見本", "花子")));

    let certificate = text.read_certificate().unwrap();
    certified(&certificate);
    assert_eq!(certificate.subject_key_id.to_string(), "9900131/000");
    let integrity = text.read_integrity_record().unwrap();
    assert!(holds(&certificate.public_key, &integrity.signed_data, &integrity.signature));
    let sha256 = |octets: &[u8]| digest(&SHA256, octets).as_ref().to_vec();
    assert_eq!(sha256(&text.read_my_number_file().unwrap()), integrity.my_number_digest);
    let file = text.read_ef(text::ef::ATTRIBUTES).unwrap();
    assert_eq!(sha256(text::Attributes::digest_source(&file).unwrap()), integrity.attributes_digest);
    let signed = text.read_signed_public_key().unwrap();
    assert!(holds(&certificate.public_key, &signed.signed_data, &signed.signature));
    assert_eq!(text.read_session_key_public_key().unwrap().public_key.bits(), 2048);
    let basic = text.read_ap_basic_data().unwrap();
    assert_eq!((basic.identification.specification_version, basic.trailing.len()), (1, 128));
    assert_eq!(text.read_ef(text::ef::UNKNOWN_0008).unwrap(), [0xFF; 16]);
}

#[test]
fn printed_numbers_open_the_text_input_in_part() {
    let mut card = card();
    let mut text = TextAp::select(&mut card).unwrap();
    text.verify_code_b(&numeric(REFERENCE_B)).unwrap();
    assert!(text.read_attributes().is_ok() && text.read_my_number().is_err());
    JpkiAp::select(&mut card).unwrap();
    let mut text = TextAp::select(&mut card).unwrap();
    text.verify_code_a(&numeric(NUMBER)).unwrap();
    assert!(text.read_attributes().is_err() && text.read_my_number().is_ok());
    let mut text = TextAp::select(&mut card).unwrap();
    text.change_pin(&numeric(TEXT_PIN), &numeric(b"9753")).unwrap();
    text.verify_pin(&numeric(b"9753")).unwrap();
}

#[test]
fn card_face() {
    let mut card = card();
    let mut face = SurfaceAp::select(&mut card).unwrap();
    assert_eq!(face.retries(surface::ef::BIRTH_DATE).unwrap(), Retries::Remaining(10));
    let certificate = face.read_certificate().unwrap();
    certified(&certificate);
    assert_eq!(certificate.subject_key_id.to_string(), "9900121/000");
    let basic = face.read_ap_basic_data().unwrap();
    assert_eq!((basic.municipality_code.as_str(), basic.version), ("99001", 0));

    // The reader makes up the birth date and reference number B by itself, from dates.
    let birth = Date { year: 1985, month: 4, day: 1 };
    assert_eq!(birth.to_era(), Some((Era::Showa, 60)));
    face.verify_birth_date(&numeric(b"600401")).unwrap();
    let age = face.read_age_record().unwrap();
    assert_eq!(age.birth_date, birth);
    assert!(holds(&certificate.public_key, &age.signed_data, &age.signature));
    assert!(face.read_card_face().is_err());
    let b = myna_card::data::verification_code_b(birth, 2036, b"7319").unwrap();
    face.verify_code_b(&b).unwrap();
    let read = face.read_card_face().unwrap();
    assert_eq!((read.birth_date, read.sex), (birth, Sex::Female));
    assert_eq!(read.expiry, Date { year: 2036, month: 4, day: 1 });
    assert_eq!(read.public_key, age.public_key);
    assert_eq!(read.photo.data, PHOTO);
    assert_eq!(
        (&read.name_image.data[..], &read.address_image.data[..]),
        (&NAME_PICTURE[..], &ADDRESS_PICTURE[..])
    );
    assert_eq!(read.security_code_image.format, ImageFormat::Png);
    // The signature over three digests, undone by hand: s^e mod n ends in the DigestInfo.
    let digests: Vec<u8> =
        read.signed_segments.iter().flat_map(|segment| digest(&SHA256, segment).as_ref().to_vec()).collect();
    let info = myna_card::data::sha256_digest_info(&digests);
    let modulus = certificate.public_key.modulus.as_slice().try_into().unwrap();
    let signature = read.signature.as_slice().try_into().unwrap();
    assert!(card::rsa_key::pkcs1_raw_holds(modulus, &info, signature));

    assert!(face.read_my_number_image().is_err(), "reference number B does not open it");
    face.verify_code_a(&numeric(NUMBER)).unwrap();
    let picture = face.read_my_number_image().unwrap();
    assert_eq!(picture.image.format, ImageFormat::Png);
    assert!(holds(&certificate.public_key, &picture.signed_data, &picture.signature));
    assert_eq!(face.read_ef(surface::ef::UNKNOWN_0006).unwrap(), [0xFF; 16]);
}

#[test]
fn common_and_register() {
    let mut card = card();
    let mut common = CommonAp::select(&mut card).unwrap();
    let info = common.read_card_info().unwrap();
    assert_eq!((info.serial.as_str(), info.municipality_code.as_str()), ("990000000000017", "99001"));
    assert_eq!(info.expiry, Date { year: 2036, month: 4, day: 1 });
    let reference = common.read_record(2, 1).unwrap();
    let signature = common.internal_authenticate(b"challenge").unwrap();
    let key = &crate::whole_card::ISSUE.internal_authenticate;
    let key = RsaPublicKey { exponent: vec![1, 0, 1], modulus: key.public_modulus().to_vec() };
    assert!(holds(&key, b"challenge", &signature));
    assert_eq!(common.pin_retries().unwrap(), Retries::Remaining(3));
    common.change_pin(&numeric(b"1470"), &numeric(b"0741")).unwrap();
    common.verify_pin(&numeric(b"0741")).unwrap();
    let mut register = JukiAp::select(&mut card).unwrap();
    assert_eq!(register.read_record(2, 1).unwrap(), reference, "byte for byte, as on cards");
    register.change_pin(&numeric(REGISTER_PIN), &numeric(b"1963")).unwrap();
    assert!(register.verify_pin(&numeric(REGISTER_PIN)).is_err());
    assert_eq!(register.pin_retries().unwrap(), Retries::Remaining(2));
}

#[test]
fn master_file() {
    let mut card = card();
    let mut master = MasterFile::new(&mut card);
    assert_eq!(master.data_object(tag::CARD_IDENTIFICATION).unwrap().len(), 15);
    assert_eq!(master.data_object(tag::MUNICIPALITY_CODE).unwrap(), b"99001");
    assert_eq!(master.data_object(tag::EXPIRY).unwrap().len(), 8);
    assert_eq!(master.data_object(tag::ISSUER_IDENTIFICATION).unwrap().len(), 16);
    let chain = master.certificate_chain().unwrap();
    assert_eq!(chain.len(), 1, "the lower certificate is one that some cards do not have");
    certified(&chain[0]);
    let contact_atr = card.contact_atr().unwrap();
    assert_eq!(contact_atr, card::my_number_card::layout().unwrap().atr);
    // With an application selected the card tells no more than its answer to reset.
    let mut common = CommonAp::select(&mut card).unwrap();
    assert_eq!(common.card().contact_atr().unwrap(), contact_atr);
    let info = common.read_card_info().unwrap();
    for tag in [tag::CARD_IDENTIFICATION, tag::EXPIRY, tag::CHAIN_UPPER] {
        let refused = common.card().get_data(tag).unwrap_err();
        assert!(matches!(refused, myna_card::Error::Status(word) if word.value() == 0x6A88), "{refused}");
    }
    assert_eq!(info.municipality_code, "99001");
}
