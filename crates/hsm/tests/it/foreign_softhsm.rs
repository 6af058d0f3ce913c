use crate::softhsm::{PIN, SoftHsm, TOKEN, with_token};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use hsm::{HsmError, KeyAlgorithm, KeyError, KeySource, Pkcs11Key, Pkcs11Signer, Token};
use pki::pem::{self, PemKind};
use pki::public_key::VerifyingKey;
use pki::signer::{IssuerSigner as _, SignError};

fn token_of(hsm: &SoftHsm) -> std::sync::Arc<Token> {
    Token::of(&hsm.token()).unwrap()
}

fn generate(hsm: &SoftHsm, label: &str, algorithm: KeyAlgorithm) -> Pkcs11Key {
    let key = hsm.key(label);
    token_of(hsm).generate(&key, algorithm).unwrap();
    key
}

fn refused(key: &Pkcs11Key) -> HsmError {
    match Pkcs11Signer::open(key) {
        Err(KeyError::Token(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn verifies(signer: &Pkcs11Signer, message: &[u8]) -> bool {
    let signature = signer.try_sign(message).unwrap();
    VerifyingKey::from_spki_der(signer.spki_der()).unwrap().verifies(message, &signature)
}

/// A context of the same process and module beside ours.
fn beside() -> Pkcs11 {
    Pkcs11::new(SoftHsm::module()).unwrap()
}

/// A session of somebody who knows the PIN and writes what they like.
fn intruder() -> Session {
    let module = beside();
    let slot = module
        .get_slots_with_token()
        .unwrap()
        .into_iter()
        .find(|slot| module.get_token_info(*slot).unwrap().label().trim_end() == TOKEN)
        .unwrap();
    let session = module.open_rw_session(slot).unwrap();
    match session.login(UserType::User, Some(&AuthPin::new(PIN.into()))) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => session,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_kind_of_key_signs_what_openssl_verifies() {
    with_token("foreign_softhsm::every_kind_of_key_signs_what_openssl_verifies", |hsm| {
        for algorithm in KeyAlgorithm::ALL {
            let key = generate(hsm, algorithm.word(), algorithm);
            let protection = token_of(hsm).protection(&key).unwrap();
            assert!(protection.was_never_outside(), "{algorithm:?}: {protection:?}");
            let signer = KeySource::Pkcs11(key).open().unwrap();
            let public = pem::encode(PemKind::PublicKey, signer.spki_der());
            std::fs::write(hsm.folder().join("public.pem"), public.as_bytes()).unwrap();
            // Lengths around a block of the digest, and more than a token takes at once.
            for length in [0, 1, 55, 56, 64, 100_000] {
                let message = vec![0xA5; length];
                std::fs::write(hsm.folder().join("message"), &message).unwrap();
                std::fs::write(hsm.folder().join("signature"), signer.sign(&message).unwrap()).unwrap();
                let said = hsm.run(
                    "openssl",
                    &["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "message"],
                );
                assert!(said.contains("Verified OK"), "{algorithm:?} {length}: {said}");
            }
            let text = hsm.run("openssl", &["pkey", "-pubin", "-in", "public.pem", "-noout", "-text"]);
            let size = match algorithm {
                KeyAlgorithm::Rsa2048 => "2048 bit",
                KeyAlgorithm::Rsa3072 => "3072 bit",
                KeyAlgorithm::Rsa4096 => "4096 bit",
                KeyAlgorithm::P256 => "NIST CURVE: P-256",
            };
            assert!(text.contains(size), "{text}");
        }
    });
}

#[test]
fn a_key_made_here_cannot_be_taken_out_by_anybody_who_knows_the_pin() {
    with_token("foreign_softhsm::a_key_made_here_cannot_be_taken_out_by_anybody_who_knows_the_pin", |hsm| {
        for algorithm in [KeyAlgorithm::Rsa2048, KeyAlgorithm::P256] {
            let label = algorithm.word();
            let key = generate(hsm, label, algorithm);
            // pkcs11-tool reads the public half, and not the private one.
            let read = |kind| {
                hsm.pkcs11_tool(&[
                    "--read-object",
                    "--type",
                    kind,
                    "--label",
                    label,
                    "--output-file",
                    "taken",
                ])
            };
            let (given, said) = read("pubkey");
            assert!(given, "{said}");
            std::fs::remove_file(hsm.folder().join("taken")).unwrap();
            let (_, said) = read("privkey");
            let taken = std::fs::read(hsm.folder().join("taken")).unwrap_or_default();
            assert!(taken.is_empty(), "{said}");
            // A foreign program's words for what the token says of it.
            let (_, said) = hsm.pkcs11_tool(&["--list-objects", "--type", "privkey", "--label", label]);
            let wanted = "sensitive, always sensitive, never extractable, local";
            assert!(said.contains(wanted) && said.contains("Usage:      sign\n"), "{said}");
            let secret = [AttributeType::Value, AttributeType::PrivateExponent, AttributeType::Prime1];

            let session = intruder();
            let private = |label: &str| {
                let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(label.into())];
                session.find_objects(&wanted).unwrap()[0]
            };
            let (wrapping, own) = wrapping_keys(&session, algorithm);
            let mechanism = Mechanism::AesKeyWrapPad;
            // The attempt can succeed: a key that allows it is taken.
            assert!(!session.wrap_key(&mechanism, wrapping, own).unwrap().is_empty());
            let error = session.wrap_key(&mechanism, wrapping, private(label)).unwrap_err();
            assert!(matches!(error, Error::Pkcs11(RvError::KeyUnextractable, _)), "{error}");
            for part in secret {
                let told = session.get_attributes(private(label), &[part]);
                assert!(told.is_err() || told.unwrap().is_empty(), "{part}");
            }
            // Neither made extractable nor copied into something that is.
            for change in [Attribute::Extractable(true), Attribute::Sensitive(false)] {
                session.update_attributes(private(label), std::slice::from_ref(&change)).unwrap_err();
                let copied = session.copy_object(
                    private(label),
                    &[change, Attribute::Token(false), Attribute::Label(b"copy".to_vec())],
                );
                if let Ok(copy) = copied {
                    assert!(session.wrap_key(&mechanism, wrapping, copy).is_err());
                }
            }
            // It does not decrypt or unwrap either: nothing but signatures.
            if algorithm == KeyAlgorithm::Rsa2048 {
                assert!(session.decrypt(&Mechanism::RsaPkcs, private(label), &[1; 256]).is_err());
            }
            assert!(Pkcs11Signer::open(&key).is_ok());
        }
    });
}

/// An AES key for wrapping, and a private key that may be wrapped.
fn wrapping_keys(
    session: &Session,
    algorithm: KeyAlgorithm,
) -> (cryptoki::object::ObjectHandle, cryptoki::object::ObjectHandle) {
    let wrapping = session
        .generate_key(
            &Mechanism::AesKeyGen,
            &[
                Attribute::Token(false),
                Attribute::ValueLen(32.into()),
                Attribute::Wrap(true),
                Attribute::Unwrap(true),
            ],
        )
        .unwrap();
    let (mechanism, public) = match algorithm {
        KeyAlgorithm::P256 => (
            Mechanism::EccKeyPairGen,
            Attribute::EcParams(vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
        ),
        _ => (Mechanism::RsaPkcsKeyPairGen, Attribute::ModulusBits(2048.into())),
    };
    let private = [Attribute::Token(false), Attribute::Sensitive(true), Attribute::Extractable(true)];
    let (_, own) =
        session.generate_key_pair(&mechanism, &[Attribute::Token(false), public], &private).unwrap();
    (wrapping, own)
}

/// An RSA key of a kind that pkcs11-tool does not make.
fn restricted(label: &str, more: &[Attribute]) {
    let both = [Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(label.into())];
    let public = [both.as_slice(), &[Attribute::ModulusBits(2048.into())]].concat();
    let own = [Attribute::Private(true), Attribute::Sensitive(true), Attribute::Extractable(false)];
    let private = [both.as_slice(), &own, more].concat();
    intruder().generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private).unwrap();
}

#[test]
fn keys_that_may_leave_or_may_not_sign_are_refused() {
    with_token("foreign_softhsm::keys_that_may_leave_or_may_not_sign_are_refused", |hsm| {
        let make = |label: &str, id: &str, kind: &str, more: &[&str]| {
            let mut all = vec!["--keypairgen", "--key-type", kind, "--label", label, "--id", id];
            all.extend_from_slice(more);
            let (made, said) = hsm.pkcs11_tool(&all);
            assert!(made, "{said}");
        };
        make("loose", "01", "EC:prime256v1", &["--extractable", "--usage-sign"]);
        assert!(matches!(refused(&hsm.key("loose")), HsmError::KeyExtractable { .. }));
        make("other-curve", "02", "EC:secp384r1", &["--usage-sign"]);
        assert!(matches!(refused(&hsm.key("other-curve")), HsmError::KeyUnusable { .. }));
        make("short", "03", "rsa:1024", &["--usage-sign"]);
        assert!(matches!(refused(&hsm.key("short")), HsmError::KeyUnusable { .. }));
        restricted("decrypts", &[Attribute::Sign(false), Attribute::Decrypt(true)]);
        let error = refused(&hsm.key("decrypts"));
        assert!(error.to_string().contains("not for signatures"), "{error}");
        restricted("pss-only", &[Attribute::AllowedMechanisms(vec![MechanismType::RSA_PKCS_PSS])]);
        let error = refused(&hsm.key("pss-only"));
        assert!(
            matches!(&error, HsmError::MechanismNotAllowed { mechanism, .. }
            if mechanism.contains("CKM_RSA_PKCS")),
            "{error}"
        );
        // The other mechanism does as well, with the digest taken inside.
        restricted("whole", &[Attribute::AllowedMechanisms(vec![MechanismType::SHA256_RSA_PKCS])]);
        assert!(verifies(&Pkcs11Signer::open(&hsm.key("whole")).unwrap(), &[7; 10_000]));
        // Two of one label are told apart by their identifiers.
        make("twin", "0a", "EC:prime256v1", &["--usage-sign"]);
        make("twin", "0b", "EC:prime256v1", &["--usage-sign"]);
        assert!(matches!(refused(&hsm.key("twin")), HsmError::KeyAmbiguous { count: 2, .. }));
        let open =
            |id: &str| Pkcs11Signer::open(&Pkcs11Key { id: Some(id.into()), ..hsm.key("twin") }).unwrap();
        assert_ne!(open("0a").spki_der(), open("0b").spki_der());
        // And no third is made beside them, nor a second beside one.
        let again = token_of(hsm).generate(&hsm.key("whole"), KeyAlgorithm::P256).unwrap_err();
        assert!(matches!(again, KeyError::Token(HsmError::KeyExists { .. })), "{again}");
        let beside = Pkcs11Key { id: Some("ff".into()), ..hsm.key("whole") };
        assert!(token_of(hsm).generate(&beside, KeyAlgorithm::P256).is_err());
        assert!(KeySource::Pkcs11(hsm.key("whole")).is_taken().unwrap());
        assert!(!KeySource::Pkcs11(hsm.key("nobody")).is_taken().unwrap());
    });
}

#[test]
fn every_mistake_in_the_configuration_is_named() {
    with_token("foreign_softhsm::every_mistake_in_the_configuration_is_named", |hsm| {
        generate(hsm, "right", KeyAlgorithm::P256);
        let error = refused(&hsm.key("wrong"));
        assert_eq!(error.to_string(), "token `kazasu-test` holds no private key `wrong`");
        let error = refused(&Pkcs11Key { id: Some("dead".into()), ..hsm.key("right") });
        assert!(matches!(error, HsmError::KeyAbsent { .. }), "{error}");
        let error = refused(&Pkcs11Key { token: "elsewhere".into(), ..hsm.key("right") });
        let text = error.to_string();
        assert!(text.contains("`elsewhere`") && text.contains("present: `kazasu-test`"), "{text}");
        let error = refused(&Pkcs11Key { module: "/nonexistent/p11.so".into(), ..hsm.key("right") });
        assert!(matches!(&error, HsmError::ModuleUnusable { .. }), "{error}");
        // A file that is no library, and a library that is no module.
        let error = refused(&Pkcs11Key { module: hsm.pin_file(), ..hsm.key("right") });
        assert!(!error.to_string().contains(PIN), "{error}");
        let libm = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"]
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())
            .unwrap();
        let error = refused(&Pkcs11Key { module: libm.into(), ..hsm.key("right") });
        assert!(error.to_string().contains("C_GetFunctionList"), "{error}");
        for (change, said) in [
            (Pkcs11Key { module: "p11.so".into(), ..hsm.key("right") }, "module: must be absolute"),
            (Pkcs11Key { pin_env: Some("X".into()), ..hsm.key("right") }, "pin_env: not together"),
            (Pkcs11Key { pin_file: None, ..hsm.key("right") }, "pin_file: this or pin_env"),
            (Pkcs11Key { id: Some("xyz".into()), ..hsm.key("right") }, "id: must be octets"),
            (hsm.key(""), "label: must name"),
        ] {
            let error = Pkcs11Signer::open(&change).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        hsm.init_token(TOKEN);
        let (_, said) = hsm.ask("softhsm2-util", &["--show-slots"]);
        assert_eq!(said.matches(TOKEN).count(), 2, "{said}");
    });
}

#[test]
fn a_refused_pin_is_tried_once_and_never_again() {
    with_token("foreign_softhsm::a_refused_pin_is_tried_once_and_never_again", |hsm| {
        // Made by another program, so that this process has not logged in yet.
        let (made, said) =
            hsm.pkcs11_tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "k", "--usage-sign"]);
        assert!(made, "{said}");
        // Nothing is tried while there is no PIN to be had.
        std::fs::remove_file(hsm.pin_file()).unwrap();
        assert!(matches!(refused(&hsm.key("k")), HsmError::PinUnavailable { .. }));
        hsm.write_pin("0000-wrong");
        assert!(matches!(refused(&hsm.key("k")), HsmError::PinWrong { .. }));
        // The right one now: it would be taken, were it tried. The operator starts the program anew.
        hsm.write_pin(PIN);
        let error = refused(&hsm.key("k"));
        assert!(matches!(error, HsmError::PinWrong { .. }), "{error}");
        assert!(!error.to_string().contains("0000") && !format!("{error:?}").contains("0000"));
        // The token counted one wrong try, and a new process gets in.
        let (_, said) = hsm.pkcs11_tool(&["--list-objects", "--type", "privkey"]);
        assert!(said.contains("k"), "{said}");
    });
}

#[test]
fn many_threads_sign_with_one_key() {
    with_token("foreign_softhsm::many_threads_sign_with_one_key", |hsm| {
        let signer = Pkcs11Signer::open(&generate(hsm, "busy", KeyAlgorithm::P256)).unwrap();
        let rsa = Pkcs11Signer::open(&generate(hsm, "rsa", KeyAlgorithm::Rsa2048)).unwrap();
        // More threads than the pool has sessions: the rest wait their turn.
        std::thread::scope(|scope| {
            for thread in 0..40_u32 {
                let (signer, rsa) = (&signer, &rsa);
                scope.spawn(move || {
                    for round in 0..50_u32 {
                        let message = [thread.to_be_bytes(), round.to_be_bytes()].concat();
                        assert!(verifies(signer, &message));
                        if round % 10 == 0 {
                            assert!(verifies(rsa, &message));
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn sessions_that_died_are_opened_again_and_a_lost_token_is_named() {
    with_token("foreign_softhsm::sessions_that_died_are_opened_again_and_a_lost_token_is_named", |hsm| {
        let signer = Pkcs11Signer::open(&generate(hsm, "ca", KeyAlgorithm::Rsa2048)).unwrap();
        let passing = Pkcs11Signer::passing_p256(&hsm.token(), "delegate").unwrap();
        assert!(verifies(&signer, b"before") && verifies(&passing, b"before"));
        // Somebody logs out: the login is the token's, not the session's.
        intruder().logout().unwrap();
        assert!(verifies(&signer, b"after a logout"));
        // The module starts anew: every handle is dead.
        beside().finalize().unwrap();
        assert!(verifies(&signer, b"after the module stopped"));
        beside().finalize().unwrap();
        beside().initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
        assert!(verifies(&signer, b"after the module started anew"));
        // A key of a session goes with it, and says so.
        let error = passing.try_sign(b"x").unwrap_err();
        assert!(matches!(error, HsmError::KeyAbsent { .. }), "{error}");
        assert!(matches!(passing.sign(b"x"), Err(SignError::Refused(_))));

        // The token is taken out, the module starts anew, and finds none.
        let (tokens, away) = (hsm.folder().join("tokens"), hsm.folder().join("away"));
        std::fs::rename(&tokens, &away).unwrap();
        std::fs::create_dir(&tokens).unwrap();
        beside().finalize().unwrap();
        let error = signer.try_sign(b"x").unwrap_err();
        assert!(matches!(error, HsmError::TokenAbsent { .. }), "{error}");
        assert_eq!(signer.sign(b"x"), Err(SignError::Refused("the token is not present")));
        // Back again, it is found without anybody's help once the module looks.
        std::fs::remove_dir(&tokens).unwrap();
        std::fs::rename(&away, &tokens).unwrap();
        beside().finalize().unwrap();
        assert!(verifies(&signer, b"after the token came back"));

        // Another key under the same label is not signed with.
        let (gone, said) = hsm.pkcs11_tool(&["--delete-object", "--type", "privkey", "--label", "ca"]);
        assert!(gone, "{said}");
        let (gone, said) = hsm.pkcs11_tool(&["--delete-object", "--type", "pubkey", "--label", "ca"]);
        assert!(gone, "{said}");
        assert!(signer.try_sign(b"x").is_err());
        let (made, said) = hsm.pkcs11_tool(&[
            "--keypairgen",
            "--key-type",
            "rsa:2048",
            "--label",
            "ca",
            "--id",
            "01",
            "--usage-sign",
        ]);
        assert!(made, "{said}");
        beside().finalize().unwrap();
        let error = signer.try_sign(b"x").unwrap_err();
        assert!(matches!(error, HsmError::KeyChanged { .. }), "{error}");
    });
}

#[test]
fn a_passing_key_leaves_nothing_in_the_token() {
    with_token("foreign_softhsm::a_passing_key_leaves_nothing_in_the_token", |hsm| {
        let delegate = Pkcs11Signer::passing_p256(&hsm.token(), "delegate").unwrap();
        assert!(verifies(&delegate, b"m"));
        let here = |session: &Session| {
            session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap().len()
        };
        let session = intruder();
        assert_eq!(here(&session), 1);
        let (_, said) = hsm.pkcs11_tool(&["--list-objects"]);
        assert!(!said.contains("delegate"), "{said}");
        let second = Pkcs11Signer::passing_p256(&hsm.token(), "delegate").unwrap();
        assert_ne!(second.spki_der(), delegate.spki_der());
        drop(delegate);
        assert_eq!(here(&session), 1);
        assert!(verifies(&second, b"m"));
        drop(second);
        assert_eq!(here(&session), 0);
    });
}
