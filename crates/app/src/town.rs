//! The town: what stands where. `town.json` in its folder is all that a script needs.

pub(crate) mod build;
pub(crate) mod cards;
pub(crate) mod hpki;
pub(crate) mod operators;
pub(crate) mod people;
pub(crate) mod run;
pub(crate) mod secure_element;

use anyhow::Context as _;
use cards::PrintedNumbers;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Name of the description in the town's folder.
pub(crate) const TOWN_FILE: &str = "town.json";
/// Version of what a town's folder holds. A town of another version has other keys and other files, and
/// nothing in it is worth taking along.
pub(crate) const TOWN_VERSION: u32 = 5;

/// What every room has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Room {
    /// Base URL.
    pub(crate) url: String,
    /// The room's store: a file or folder that no other room opens.
    pub(crate) store: PathBuf,
    /// PEM of the CA behind the room's server certificate.
    pub(crate) ca: PathBuf,
    /// URL of the readiness page (plain HTTP on loopback).
    pub(crate) ready: String,
    /// URL of the metrics page.
    pub(crate) metrics: String,
    /// The room's config file.
    pub(crate) config: PathBuf,
}

/// The authority's entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AuthorityRoom {
    /// What every room has.
    #[serde(flatten)]
    pub(crate) room: Room,
    /// URL of the authentication CA's CRL (DER).
    pub(crate) crl: String,
    /// URL of the signature CA's CRL (DER).
    pub(crate) sign_crl: String,
    /// URL of the OCSP responder of both CAs (plain HTTP).
    pub(crate) ocsp: String,
    /// Base URL of the linkage service (mutual TLS, for `partners`).
    pub(crate) linkage: String,
    /// PEM of the authentication CA.
    pub(crate) auth_ca: PathBuf,
    /// PEM of the signature CA.
    pub(crate) sign_ca: PathBuf,
}

/// The reception desk's entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TerminalRoom {
    /// What every room has.
    #[serde(flatten)]
    pub(crate) room: Room,
    /// The page for patients.
    pub(crate) kiosk: String,
    /// Where emulated cards are placed without PC/SC (`host:port`, vpcd framing).
    pub(crate) virtual_reader: String,
}

/// The rooms.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rooms {
    /// The platform.
    pub(crate) eligibility: Room,
    /// The authority.
    pub(crate) jpki_authority: AuthorityRoom,
    /// The desk.
    pub(crate) terminal: TerminalRoom,
}

/// A terminal's identity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Terminal {
    /// Its name.
    pub(crate) name: String,
    /// Code of its institution.
    pub(crate) institution: String,
    /// Name of its institution.
    pub(crate) institution_name: String,
    /// PEM of its client certificate.
    pub(crate) cert: PathBuf,
    /// PEM of its private key.
    pub(crate) key: PathBuf,
}

/// A specimen person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Person {
    /// The name that is typed.
    pub(crate) name: String,
    /// The story, Japanese.
    pub(crate) story_ja: String,
    /// The story, English.
    pub(crate) story_en: String,
    /// What a touch should answer: `answer.validity` or `problem.code`.
    pub(crate) expected: String,
    /// PEM of the authentication certificate; none on an HPKI card.
    pub(crate) auth_cert: Option<PathBuf>,
    /// PEM of the signature certificate; none for a child under 15, none on an HPKI card.
    pub(crate) sign_cert: Option<PathBuf>,
    /// PEM of an HPKI card's authentication certificate.
    pub(crate) hpki_auth_cert: Option<PathBuf>,
    /// PEM of an HPKI card's signature certificate.
    pub(crate) hpki_sign_cert: Option<PathBuf>,
    /// The 4-digit PIN of the authentication key, and of the card's other applications.
    pub(crate) pin: String,
    /// The password (on an HPKI card, the PIN) of the signature key; none without such a key.
    pub(crate) sign_password: Option<String>,
    /// What is printed on the front of the card and opens its card face application; none on an HPKI card.
    pub(crate) card_face: Option<PrintedNumbers>,
    /// The emulated card.
    pub(crate) card: PathBuf,
}

/// An authority that certifies health professionals.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HealthAuthority {
    /// PEM of its certificate.
    pub(crate) cert: PathBuf,
    /// Its revocation list (DER).
    pub(crate) crl: PathBuf,
}

/// Who certifies health professionals.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HealthAuthorities {
    /// The root.
    pub(crate) root: HealthAuthority,
    /// Under it, for signatures.
    pub(crate) sign: HealthAuthority,
    /// Under it, for authentication.
    pub(crate) auth: HealthAuthority,
}

/// What somebody needs who verifies receipts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReceiptLogPlaces {
    /// The log's public key in the form of C2SP signed-note.
    pub(crate) key: PathBuf,
    /// Its folder: tiles, bundles and the newest saved head.
    pub(crate) folder: PathBuf,
}

/// The whole town.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Town {
    /// Version of this file's layout.
    pub(crate) version: u32,
    /// Seed of the specimen people's records.
    pub(crate) seed: u64,
    /// The town's folder.
    pub(crate) dir: PathBuf,
    /// The rooms.
    pub(crate) rooms: Rooms,
    /// The terminals.
    pub(crate) terminals: Vec<Terminal>,
    /// The people.
    pub(crate) people: Vec<Person>,
    /// The platform's receipt log.
    pub(crate) receipt_log: ReceiptLogPlaces,
    /// PEM of the public key that the contents of the cards are checked with.
    pub(crate) card_contents_root: PathBuf,
    /// The authorities behind `hpki_auth_cert` and `hpki_sign_cert`.
    pub(crate) hpki: HealthAuthorities,
    /// Who requests and approves at the authority.
    pub(crate) operators: Vec<operators::SpecimenOperator>,
    /// Who asks the authority for linkage.
    pub(crate) partners: Vec<operators::Partner>,
}

/// The one field that towns of every version have.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl Town {
    /// Reads the town in `dir`, if there is one.
    pub(crate) fn find(dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = dir.join(TOWN_FILE);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let unreadable =
                    || format!("{} cannot be read; remove the folder to start anew", path.display());
                let VersionOnly { version } = serde_json::from_slice(&bytes).with_context(unreadable)?;
                anyhow::ensure!(
                    version == TOWN_VERSION,
                    "{dir} の町は別の版の kazasu がつくりました（版 {version}、この kazasu は版 {TOWN_VERSION}）。フォルダーを消してから始めてください / the town in {dir} was made by another version of kazasu (its version is {version}, this one's {TOWN_VERSION}): remove the folder and start anew",
                    dir = dir.display()
                );
                Ok(Some(serde_json::from_slice(&bytes).with_context(unreadable)?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Writes `town.json`, whole or not at all.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec_pretty(self)?;
        chassis::files::write_atomic(&self.dir.join(TOWN_FILE), &bytes)?;
        Ok(())
    }

    /// The person of this name.
    pub(crate) fn person(&self, name: &str) -> Option<&Person> {
        self.people.iter().find(|p| p.name == name)
    }

    /// Every room's store, by room.
    fn stores(&self) -> [(&'static str, &Path); 3] {
        [
            ("eligibility", &self.rooms.eligibility.store),
            ("jpki_authority", &self.rooms.jpki_authority.room.store),
            ("terminal", &self.rooms.terminal.room.store),
        ]
    }

    /// Refuses two rooms with one store: what must never meet in a law must not meet in a file.
    pub(crate) fn ensure_separate_stores(&self) -> anyhow::Result<()> {
        let stores = self.stores();
        for (place, (room, store)) in stores.iter().enumerate() {
            for (other, same) in stores.iter().skip(place + 1) {
                anyhow::ensure!(
                    !store.starts_with(same) && !same.starts_with(store),
                    "rooms {room} and {other} would share the store {}: give each its own",
                    store.display()
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn room(store: &str) -> Room {
        let text = String::new;
        Room {
            url: text(),
            store: store.into(),
            ca: "ca".into(),
            ready: text(),
            metrics: text(),
            config: "c".into(),
        }
    }

    fn town(stores: [&str; 3]) -> Town {
        let [e, j, t] = stores;
        let text = String::new;
        Town {
            version: TOWN_VERSION,
            seed: 1,
            dir: "d".into(),
            rooms: Rooms {
                eligibility: room(e),
                jpki_authority: AuthorityRoom {
                    room: room(j),
                    crl: text(),
                    sign_crl: text(),
                    ocsp: text(),
                    linkage: text(),
                    auth_ca: "a".into(),
                    sign_ca: "s".into(),
                },
                terminal: TerminalRoom { room: room(t), kiosk: text(), virtual_reader: text() },
            },
            terminals: Vec::new(),
            people: Vec::new(),
            receipt_log: ReceiptLogPlaces { key: "k".into(), folder: "f".into() },
            card_contents_root: "r".into(),
            hpki: hpki::places_of(Path::new("d")),
            operators: operators::operators(Path::new("d")),
            partners: operators::partners(Path::new("d")),
        }
    }

    #[test]
    fn a_town_of_another_version_is_refused_in_two_languages() {
        let dir = std::env::temp_dir().join(format!("kazasu-version-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let write = |text: &str| std::fs::write(dir.join(TOWN_FILE), text).unwrap();
        let said = || Town::find(&dir).unwrap_err().to_string();
        // What the version before this one wrote, as far as it differs.
        write(r#"{"version": 1, "seed": 1, "people": []}"#);
        let old = said();
        assert!(old.contains("フォルダーを消して") && old.contains("remove the folder"), "{old}");
        assert!(old.contains(&dir.display().to_string()), "{old}");
        write("{}");
        assert!(said().contains("remove the folder"), "{}", said());
        let mut now = town(["/a", "/b", "/c"]);
        now.dir.clone_from(&dir);
        now.save().unwrap();
        assert_eq!(Town::find(&dir).unwrap().unwrap().version, TOWN_VERSION);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn two_rooms_never_share_a_store() {
        assert!(town(["/a/x", "/b/x", "/c/x"]).ensure_separate_stores().is_ok());
        assert!(town(["/a/x", "/b/x", "/a/x"]).ensure_separate_stores().is_err());
        assert!(town(["/a", "/a/b", "/c"]).ensure_separate_stores().is_err());
    }

    #[test]
    fn a_town_of_another_version_is_refused_in_both_languages() {
        let dir = std::env::temp_dir().join(format!("kazasu-town-version-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let told = |text: &str| {
            std::fs::write(dir.join(TOWN_FILE), text).unwrap();
            Town::find(&dir).map(|found| found.is_some()).map_err(|error| format!("{error:#}"))
        };
        // As the first version wrote it, with other things in it.
        let first = told(r#"{"version":1,"seed":7,"rooms":[]}"#).unwrap_err();
        for words in ["フォルダーを消して", "remove the folder", "1", &dir.display().to_string()] {
            assert!(first.contains(words), "{words}: {first}");
        }
        assert!(told("{").unwrap_err().contains("cannot be read"));
        let now = Town { dir: dir.clone(), ..town(["/a", "/b", "/c"]) };
        assert_eq!(told(&serde_json::to_string(&now).unwrap()), Ok(true));
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(Town::find(&dir).unwrap().is_none());
    }

    #[test]
    fn the_entries_scripts_rely_on_are_there() {
        let json = serde_json::to_value(town(["/a", "/b", "/c"])).unwrap();
        for pointer in [
            "/rooms/eligibility/url",
            "/rooms/jpki_authority/store",
            "/rooms/terminal/ca",
            "/rooms/terminal/ready",
            "/rooms/jpki_authority/crl",
            "/rooms/jpki_authority/ocsp",
            "/rooms/jpki_authority/auth_ca",
            "/rooms/jpki_authority/sign_ca",
            "/rooms/terminal/kiosk",
            "/terminals",
            "/people",
            "/card_contents_root",
            "/rooms/jpki_authority/linkage",
            "/operators/0/key",
            "/partners/2/cert",
            "/hpki/auth/crl",
        ] {
            assert!(json.pointer(pointer).is_some(), "{pointer}");
        }
        assert!(json["hpki"]["root"]["cert"].is_string());
    }
}
