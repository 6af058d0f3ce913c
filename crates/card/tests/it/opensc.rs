//! What OpenSC 0.23 sends, replayed: the probes of its other drivers, then its JPKI driver.

use crate::town::{adult, adult_holder, hex, send, status};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use card::my_number_card::SignatureCounts;

#[test]
fn foreign_probes_fail_cleanly() {
    let mut patient = adult();
    for (probe, word) in [
        ("00A4040007 627601FF000000", 0x6A82),
        ("00A4040006 A00000000101", 0x6A82),
        ("00CADF3005", 0x6D00),
        ("00CB3FFF035C017E08", 0x6D00),
        ("00A4040009 A00000030800001000 00", 0x6A82),
        ("00A4040C06 D27600012401", 0x6A82),
        ("00A4000C02 3F00", 0x6A82),
        ("80CA9F7F2D", 0x6D00),
        ("B0A4040009 A00000030800001000", 0x6E00),
        ("FFCA000000", 0x6E00),
        ("00C0000010", 0x6D00),
        ("00F20000", 0x6D00),
    ] {
        assert_eq!(status(&mut patient, probe), word, "{probe}");
    }
    assert_eq!(patient.signatures(), SignatureCounts::default());
}

#[test]
fn bind_read_log_in_and_sign() {
    let mut patient = adult();
    let image = adult_holder();
    let content = &image.card_holder_auth.end_entity_der;
    let [hi, lo] = u16::try_from(content.len() - 4).unwrap().to_be_bytes();

    // Bind.
    for (command, word) in [
        ("00A4040C0A D392F000260100000001", 0x9000),
        ("00A4020C02 0018", 0x9000),
        ("00200080", 0x63C3),
        ("00A4020C02 001B", 0x9000),
        ("00200080", 0x63C5),
        ("00A4020C02 000A", 0x9000),
    ] {
        assert_eq!(status(&mut patient, command), word, "{command}");
    }
    assert_eq!(send(&mut patient, &hex("00B0000004")), (vec![0x30, 0x82, hi, lo], 0x9000));
    let mut read = Vec::new();
    for chunk in content.chunks(256) {
        let [hi, lo] = u16::try_from(read.len()).unwrap().to_be_bytes();
        // Full chunks with Le 00, the last with its exact length.
        let le = u8::try_from(chunk.len()).unwrap_or(0);
        let (data, word) = send(&mut patient, &[0x00, 0xB0, hi, lo, le]);
        assert_eq!(word, 0x9000);
        read.extend_from_slice(&data);
    }
    assert_eq!(read, *content);
    for (command, word) in [
        ("00A4020C02 0001", 0x9000),
        ("00B0000004", 0x6982),
        ("00A4020C02 000B", 0x9000),
        ("00B0000004", 0x9000),
        ("00A4020C02 0002", 0x9000),
        ("00B0000004", 0x9000),
        // Log in: asks three times first.
        ("00A4020C02 0018", 0x9000),
        ("00200080", 0x63C3),
        ("00200080", 0x63C3),
        ("00200080", 0x63C3),
        ("0020008004 39393939", 0x63C2),
        ("0020008004 31323334", 0x9000),
        ("00A4020C02 0017", 0x9000),
    ] {
        assert_eq!(status(&mut patient, command), word, "{command}");
    }

    // Sign: PSO over a DigestInfo.
    let message = b"hello";
    let mut command = hex("802A008033 3031300D060960864801650304020105000420");
    command.extend_from_slice(digest(&SHA256, message).as_ref());
    command.push(0);
    let (signature, word) = send(&mut patient, &command);
    assert_eq!((signature.len(), word), (256, 0x9000));
    let verify = |key: &card::rsa_key::CardRsaKey, signature: &[u8]| {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.spki_der())
            .verify(message, signature)
            .unwrap();
    };
    verify(&image.card_holder_auth.private_key, &signature);

    // The signature token.
    for (step, word) in [
        ("00A4020C02 001B", 0x9000),
        ("0020008006 414243313233", 0x9000),
        ("00A4020C02 0001", 0x9000),
        ("00B0000004", 0x9000),
        ("00A4020C02 001A", 0x9000),
    ] {
        assert_eq!(status(&mut patient, step), word, "{step}");
    }
    let (signature, word) = send(&mut patient, &command);
    assert_eq!((signature.len(), word), (256, 0x9000));
    verify(&image.document_signature.as_ref().unwrap().certified.private_key, &signature);
    assert_eq!(patient.signatures(), SignatureCounts { card_holder_auth: 1, document_signature: 1 });
}
