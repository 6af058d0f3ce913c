use crate::town::{Folder, NOW, authority, card_keys, child, person};
use jpki_authority::authority::{Signers, ca_path};
use jpki_authority::error::AuthorityError;
use jpki_authority::store::sqlite::SqliteStore;
use jpki_authority::store::{
    CertificateStore as _, ListForm, ListName, ListScope, ListStore as _, NewCertificate, Revocation,
    RevokeOutcome, Store, StoreError,
};
use jpki_authority::{Authority, CertificateKind};
use pki::issue::IssueError;
use pki::public_key::SignatureAlgorithm;
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use pki::signer::{IssuerSigner, SignError, software_signer};
use pki::validate::{Profile, TrustAnchor, path};
use protocol::entropy::{Entropy, Seeded};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn anchors(authority: &Authority) -> Vec<TrustAnchor> {
    CertificateKind::ALL
        .map(|kind| TrustAnchor::from_certificate(authority.ca_certificate_der(kind)).unwrap())
        .into()
}

#[test]
fn a_card_gets_two_certificates_and_a_child_one() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let anchors = anchors(&authority);
    let issued = authority.issue_person_certificates(&person(), NOW, &mut Seeded::new(2)).unwrap();
    let auth_leaf = path(&issued.card_holder_auth.der, &anchors, Profile::JpkiAuth, NOW).unwrap();
    assert_eq!(*auth_leaf.serial(), issued.card_holder_auth.serial);
    assert_eq!(auth_leaf.not_after(), person().valid_until);
    let signature = card_keys()[0].sign(b"statement").unwrap();
    let _ = auth_leaf.verify_signature(b"statement", &signature).unwrap();
    let sign = issued.document_signature.unwrap();
    path(&sign.der, &anchors, Profile::JpkiSign, NOW).unwrap();
    assert_ne!(sign.serial, issued.card_holder_auth.serial);

    let issued = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(3)).unwrap();
    path(&issued.card_holder_auth.der, &anchors, Profile::JpkiAuth, NOW).unwrap();
    assert!(issued.document_signature.is_none());
}

#[test]
fn a_registration_and_its_certificates_say_nothing_in_a_log() {
    assert_eq!(format!("{:?}", person()), "PersonRegistration(****)");
    let folder = Folder::new();
    let authority = authority(&folder);
    let issued = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(2)).unwrap();
    let text = format!("{issued:?} {authority:?}");
    assert_eq!(
        text,
        "PersonCertificates { card_holder_auth: IssuedCertificate(****), document_signature: None } Authority(****)"
    );
}

/// Entropy that gives each value twice: the second card draws the first one's serial number.
struct Stuttering(Seeded, Option<[u8; 20]>);

impl Entropy for Stuttering {
    fn fill(&mut self, destination: &mut [u8]) {
        if destination.len() != 20 {
            return self.0.fill(destination);
        }
        let value = self.1.take().unwrap_or_else(|| {
            let mut fresh = [0; 20];
            self.0.fill(&mut fresh);
            self.1 = Some(fresh);
            fresh
        });
        destination.copy_from_slice(&value);
    }
}

#[test]
fn a_serial_number_drawn_twice_is_used_once() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let mut entropy = Stuttering(Seeded::new(5), None);
    let first = authority.issue_person_certificates(&child(), NOW, &mut entropy).unwrap();
    let second = authority.issue_person_certificates(&child(), NOW, &mut entropy).unwrap();
    assert_ne!(first.card_holder_auth.serial, second.card_holder_auth.serial);
}

/// A signer that fails when told to, and looks into the store before it signs.
struct Watched {
    inner: Box<dyn IssuerSigner>,
    fails: Arc<AtomicBool>,
}

impl IssuerSigner for Watched {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.inner.algorithm()
    }

    fn spki_der(&self) -> &[u8] {
        self.inner.spki_der()
    }

    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.fails.load(Ordering::SeqCst) {
            Err(SignError::Refused("pulled out"))
        } else {
            self.inner.sign(tbs)
        }
    }
}

fn with_watched_signers(folder: &Folder, fails: &Arc<AtomicBool>) -> (Authority, Arc<SqliteStore>) {
    drop(authority(folder));
    let config = folder.config();
    let watched = |name: &str| {
        let pkcs8 = std::fs::read(config.keys_dir.join(name)).unwrap();
        Box::new(Watched { inner: software_signer(&pkcs8).unwrap(), fails: Arc::clone(fails) })
    };
    let signers =
        Signers { card_holder_auth: watched("auth-ca.key"), document_signature: watched("sign-ca.key") };
    let store = Arc::new(SqliteStore::open(&config.store).unwrap());
    let store_of_authority: Arc<dyn Store> = store.clone();
    (Authority::with_parts(config, signers, store_of_authority).unwrap(), store)
}

#[test]
fn a_signer_that_fails_burns_the_serial_number() {
    let folder = Folder::new();
    let fails = Arc::new(AtomicBool::new(true));
    let (authority, store) = with_watched_signers(&folder, &fails);
    // The same seed draws the same serial numbers.
    let drawn = SerialNumber::random(8, &mut Seeded::new(9));
    let failed = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(9));
    assert!(matches!(failed, Err(AuthorityError::Issue(IssueError::Sign(SignError::Refused(_))))));
    let again = NewCertificate { kind: CertificateKind::CardHolderAuth, serial: drawn, shard: None };
    let spent = store.spend_serials(&[again], None, NOW);
    assert_eq!(spent, Err(StoreError::SerialTaken));

    fails.store(false, Ordering::SeqCst);
    let issued = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(9)).unwrap();
    assert_ne!(issued.card_holder_auth.serial, drawn);
    // Should the signature have got out after all, the burnt serial can still be revoked.
    let kind = CertificateKind::CardHolderAuth;
    let outcome = authority.revoke(drawn, kind, RevocationReason::Unspecified, NOW).unwrap();
    assert_eq!(outcome, RevokeOutcome::Recorded);
}

#[test]
fn a_list_number_is_spent_before_it_is_signed() {
    let folder = Folder::new();
    let fails = Arc::new(AtomicBool::new(false));
    let (authority, _) = with_watched_signers(&folder, &fails);
    let number = || authority.current_list(CertificateKind::CardHolderAuth).unwrap().number;
    authority.publish(NOW).unwrap();
    assert_eq!(number(), 1);
    fails.store(true, Ordering::SeqCst);
    authority.publish(NOW).unwrap_err();
    assert_eq!(number(), 1);
    fails.store(false, Ordering::SeqCst);
    authority.publish(NOW).unwrap();
    assert_eq!(number(), 3);
}

#[test]
fn keys_are_private_made_once_and_belong_to_their_certificates() {
    let folder = Folder::new();
    drop(authority(&folder));
    let config = folder.config();
    let names = ["auth-ca.key", "sign-ca.key", "terminal-root.key", "accredited-body.key"];
    for name in names {
        let mode = std::fs::metadata(config.keys_dir.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(std::fs::metadata(&config.store).unwrap().permissions().mode() & 0o777, 0o600);
    let again = Authority::init(folder.config(), NOW, &mut Seeded::new(1));
    assert!(matches!(again, Err(AuthorityError::AlreadyThere { .. })));

    let exposed = config.keys_dir.join(names[2]);
    std::fs::set_permissions(&exposed, std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = Authority::open(folder.config()).unwrap_err().to_string();
    assert!(refused.contains("terminal-root.key") && refused.contains("0600"), "{refused}");
    std::fs::set_permissions(&exposed, std::fs::Permissions::from_mode(0o600)).unwrap();

    std::fs::copy(config.keys_dir.join(names[1]), config.keys_dir.join(names[0])).unwrap();
    let refused = Authority::open(folder.config()).unwrap_err().to_string();
    assert!(refused.contains("auth-ca.pem"), "{refused}");
    assert!(ca_path(&config, CertificateKind::CardHolderAuth).exists());
}

#[test]
fn a_revocation_of_what_was_never_issued_is_refused_whole() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let issued = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(2)).unwrap();
    let store = SqliteStore::open(&folder.config().store).unwrap();
    let revocation = |serial| Revocation {
        kind: CertificateKind::CardHolderAuth,
        serial,
        reason: RevocationReason::Superseded,
        at: NOW,
    };
    let stranger = SerialNumber::from_octets(&[9]).unwrap();
    let both = [revocation(issued.card_holder_auth.serial), revocation(stranger)];
    assert_eq!(store.revoke(&both), Err(StoreError::NotIssued));
    let everything = ListName { scope: ListScope::Everything, form: ListForm::Complete };
    let round = store.begin_round(CertificateKind::CardHolderAuth, &[everything]).unwrap();
    assert!(round.lists[0].entries.is_empty());
}
