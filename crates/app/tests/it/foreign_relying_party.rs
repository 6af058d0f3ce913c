//! A relying party beside a running town: it asks the town's responder, has a card sign a document, and
//! verifies that with the town's lists; openssl agrees.

use crate::fixture::{Ran, Town, kazasu};
use crate::foreign_cms::openssl;
use std::fs;

/// A list from the town's plain pages.
fn list(town: &Town, name: &str) -> String {
    let responder = town.text("/rooms/jpki_authority/ocsp");
    let client = chassis::client::Client::plain(responder.strip_suffix("/ocsp").unwrap()).unwrap();
    let reply = crate::fixture::on_runtime(client.get(&format!("/crl/{name}"))).unwrap();
    assert_eq!(reply.status, 200, "{name}");
    let file = town.folder.text(name);
    fs::write(&file, &reply.body).unwrap();
    file
}

#[test]
fn the_towns_responder_card_and_lists() {
    let town = Town::start();
    the_responder(&town);
    a_signed_document(&town);
    what_is_kept(&town);
    drop(town.stop());
}

fn the_responder(town: &Town) {
    let ca = town.text("/rooms/jpki_authority/auth_ca").to_owned();
    let ask = |name: &str, more: &[&str]| {
        let certificate = town.person(name)["auth_cert"].as_str().unwrap();
        let line = ["pki", "ocsp", "--issuer", &ca, "--certificate", certificate, "--json"];
        kazasu(&[&line[..], more].concat())
    };
    for more in [&["--nonce"][..], &["--get"], &["--cert-id-hash", "sha512"]] {
        for (name, status, reason) in [
            ("hanako", "good", None),
            ("lost", "hold", Some("certificateHold")),
            ("returned", "revoked", Some("cessationOfOperation")),
        ] {
            let ran = ask(name, more);
            let told = ran.json();
            assert_eq!(told["status"], status, "{told:#}");
            assert_eq!(told["reason"].as_str(), reason, "{told:#}");
            assert_eq!(ran.code, Some(i32::from(status != "good")));
            if more == ["--nonce"] {
                assert!(told["clock_offset_seconds"].as_i64().unwrap().abs() <= 2, "{told:#}");
            }
        }
    }
    // The other authority of the town did not issue it, and its responder is not asked.
    let other = town.text("/rooms/jpki_authority/sign_ca");
    let certificate = town.person("hanako")["auth_cert"].as_str().unwrap();
    let ran = kazasu(&["pki", "ocsp", "--issuer", other, "--certificate", certificate, "--json"]);
    assert_eq!(ran.json()["problem"]["code"], "input_unusable", "{ran:#?}");
}

fn a_signed_document(town: &Town) {
    let ca = town.text("/rooms/jpki_authority/sign_ca").to_owned();
    let crl = list(town, "sign.crl");
    let letter = town.folder.text("letter");
    fs::write(&letter, "申請書\n").unwrap();
    let ran = town.run(&["pki", "cms", "sign", "--card", "hanako", "--content", &letter]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let signature = town.folder.text("letter.p7s");
    assert_eq!(ran.json()["signature"], signature);
    let verify = |content: &str, more: &[&str]| -> Ran {
        let base = ["pki", "cms", "verify", "--trust", &ca, "--crl", &crl, "--require-signing-certificate"];
        let files = ["--content", content, "--signature", &signature, "--json"];
        kazasu(&[&base[..], &files, more].concat())
    };
    let good = verify(&letter, &[]);
    let told = good.json();
    assert_eq!(good.code, Some(0), "{told:#}");
    assert_eq!(told["signers"][0]["algorithm"], "rsa-pkcs1-sha256");
    assert_eq!(told["signers"][0]["revocation"]["status"], "good");
    let other = town.folder.text("other");
    fs::write(&other, "申請書!\n").unwrap();
    assert_eq!(verify(&other, &[]).json()["problem"]["code"], "document_changed");
    // A foreign judge.
    let by_openssl = |content: &str| {
        let line = ["cms", "-verify", "-binary", "-inform", "DER", "-in", &signature, "-content", content];
        openssl(
            &town.folder,
            &[&line[..], &["-CAfile", &ca, "-purpose", "any", "-cades", "-out", "said"]].concat(),
        )
    };
    let (agrees, said) = by_openssl(&letter);
    assert!(agrees && said.contains("CAdES Verification successful"), "{said}");
    assert!(!by_openssl(&other).0);
    // Cards that cannot, and one that may no longer.
    let of = |name: &str| town.run(&["pki", "cms", "sign", "--card", name, "--content", &letter]);
    assert_eq!(of("nobody").json()["problem"]["code"], "person_unknown");
    assert_eq!(of("lost").code, Some(0), "the card itself does not know");
    let lost = verify(&letter, &[]);
    assert_eq!(lost.json()["problem"]["code"], "document_signer_on_hold", "{lost:#?}");
}

/// Lists of parts, as the certificates name them: each covers its own, and one alone not everybody.
fn what_is_kept(town: &Town) {
    let ca = town.text("/rooms/jpki_authority/sign_ca").to_owned();
    let people = ["hanako", "lost", "returned"];
    let add = people.map(|name| format!("{name}={}", town.person(name)["sign_cert"].as_str().unwrap()));
    let begin = |file: &str, lists: &[String]| {
        let kept = town.folder.text(file);
        let mut line = vec!["pki", "changes", "--trust", &ca, "--kept", &kept, "--out", &kept, "--json"];
        line.extend(["--add", &add[0], "--add", &add[1], "--add", &add[2], "--crl"]);
        line.extend(lists.iter().map(String::as_str));
        let ran = kazasu(&line);
        let told = ran.json();
        let seen = told["kept"].as_array().unwrap().iter();
        let seen = seen.map(|one| format!("{} {}", one["change"], one["status"]).replace('"', ""));
        (ran.code, seen.collect::<Vec<_>>())
    };
    let all = ["first-seen good", "first-seen hold", "first-seen revoked"].map(str::to_owned).to_vec();
    assert_eq!(begin("whole.json", &[list(town, "sign.crl")]), (Some(1), all.clone()));
    let parts: Vec<String> = (0..).map_while(|part| part_of_list(town, part)).collect();
    assert!(parts.len() > 1, "the town's authority has parts");
    assert_eq!(begin("parts.json", &parts), (Some(1), all));
    // Each alone covers one of many.
    let alone = parts.iter().enumerate().map(|(place, part)| {
        begin(&format!("{place}.json"), std::slice::from_ref(part)).1[0] == "first-seen good"
    });
    assert_eq!(alone.filter(|covers| *covers).count(), 1);
}

fn part_of_list(town: &Town, part: u32) -> Option<String> {
    let responder = town.text("/rooms/jpki_authority/ocsp");
    let client = chassis::client::Client::plain(responder.strip_suffix("/ocsp").unwrap()).unwrap();
    let reply = crate::fixture::on_runtime(client.get(&format!("/crl/sign/{part:03}.crl"))).unwrap();
    let file = town.folder.text(&format!("sign-{part}.crl"));
    (reply.status == 200).then(|| {
        fs::write(&file, &reply.body).unwrap();
        file
    })
}
