//! A folder of its own for every test, and specimen registrations. RSA keys are made once per process.

use chassis::config::TlsFiles;
use jpki_authority::approval::desk::{ApprovalDesk, Founding};
use jpki_authority::config::{Config, CrlTimes, KeyPlaces, Names, OcspTimes, StatusPages};
use jpki_authority::{Authority, PersonRegistration};
use pki::profile::{BirthDate, Municipality, Sex};
use pki::signer::{IssuerSigner, generate_rsa_2048_pkcs8, software_signer};
use protocol::entropy::Seeded;
use protocol::ids::InstitutionCode;
use protocol::time::UnixSeconds;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// 2025-11-22T01:02:03Z.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_763_773_323);
pub(crate) const DAY: u64 = 86_400;
/// Few, so that every test can look at each.
pub(crate) const SHARDS: u16 = 4;

/// A folder that goes away with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("jpki-authority-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn config(&self) -> Config {
        Self::config_in(&self.0)
    }

    /// The same for a folder that somebody else owns.
    pub(crate) fn config_in(folder: &Path) -> Config {
        let tls = TlsFiles { cert: "server.pem".into(), key: "server.key".into() };
        Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            store: "data/store.sqlite".into(),
            keys_dir: "keys".into(),
            keys: KeyPlaces::default(),
            public_dir: "public".into(),
            tls,
            status: StatusPages {
                listen: "127.0.0.1:0".parse().unwrap(),
                url: "http://status.jpki-emulated.example".into(),
            },
            crl: CrlTimes { validity_seconds: DAY, republish_seconds: 60, delta_seconds: 20, shards: SHARDS },
            ocsp: OcspTimes { validity_seconds: 3_600, reuse_seconds: 30, delegate_seconds: 7 * DAY },
            names: Names {
                organization: "JPKI-EMULATED".into(),
                operator: "KAZASU TEST municipalities".into(),
            },
            linkage: None,
        }
        .resolved(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub(crate) fn authority(folder: &Folder) -> Authority {
    authority_at(folder, NOW)
}

/// For programs that know no other time than the present.
pub(crate) fn authority_at(folder: &Folder, now: UnixSeconds) -> Authority {
    let authority = Authority::init(folder.config(), now, &mut Seeded::new(1)).unwrap();
    let institution =
        Founding::Institution { code: institution(), name: "見本内科クリニック".into() };
    desk(folder).found(&institution, "test", now).unwrap();
    authority
}

/// The institution that is accredited from the beginning.
pub(crate) fn institution() -> InstitutionCode {
    InstitutionCode::parse("1310000001").unwrap()
}

/// Where the authority's operators work.
pub(crate) fn desk(folder: &Folder) -> ApprovalDesk {
    ApprovalDesk::open(&folder.config(), &mut Seeded::new(2)).unwrap()
}

/// Public keys of one specimen card: authentication and signature.
pub(crate) fn card_keys() -> [&'static dyn IssuerSigner; 2] {
    static KEYS: OnceLock<[Box<dyn IssuerSigner>; 2]> = OnceLock::new();
    let keys =
        KEYS.get_or_init(|| [(); 2].map(|()| software_signer(&generate_rsa_2048_pkcs8().unwrap()).unwrap()));
    [keys[0].as_ref(), keys[1].as_ref()]
}

pub(crate) fn person() -> PersonRegistration {
    let [auth_key, sign_key] = card_keys();
    PersonRegistration {
        municipality: Municipality::new("13221", "Tokyo-to", "Kiyose-shi").unwrap(),
        name: "見本　花子".into(),
        birth_date: BirthDate::parse("1985-04-01").unwrap(),
        sex: Sex::Female,
        address: "東京都清瀬市見本町1-1".into(),
        auth_spki: auth_key.spki_der().to_vec(),
        sign_spki: Some(sign_key.spki_der().to_vec()),
        valid_until: NOW.plus(5 * 365 * DAY),
    }
}

pub(crate) fn child() -> PersonRegistration {
    PersonRegistration { sign_spki: None, ..person() }
}
