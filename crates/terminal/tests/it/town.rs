//! Keys, certificates, a card and a reader for these tests, and a desk among them.

use crate::eac_parties::EacParties;
use crate::stub::Stub;
use card::EmulatedCard;
use card::cvc::{CvcAuthority, CvcChain, CvcPublicKey, KeyReference, issue};
use card::eac::card_side::BatchMaterial;
use card::my_number_card::{AuthPin, CertifiedKey, MyNumberCard};
use card::rsa_key::CardRsaKey;
use card::secure_element::{JicsapInstitution, Personalisation, UnlockPublicKey};
use card_io::{CardChannel, ChannelError, Reader, ReaderError};
use chassis::admin::Readiness;
use chassis::client::Client;
use chassis::clock::SystemClock;
use chassis::config::TlsFiles;
use chassis::entropy::SystemEntropy;
use chassis::shutdown::{ShutdownSignal, ShutdownTrigger};
use pki::issue::IssuingAuthority;
use pki::pem::{PemKind, encode};
use pki::profile::{AuthorityProfile, JpkiPurpose, LeafProfile, Municipality, Validity};
use pki::serial::SerialNumber;
use pki::signer::{generate_p256_pkcs8, generate_rsa_2048_pkcs8, software_signer};
use protocol::entropy::Entropy;
use protocol::ids::SecureElementId;
use protocol::time::{Clock, UnixSeconds};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;
use terminal::check_in::{ConsentToken, Phase};
use terminal::config::DeskTimes;
use terminal::config::SecureElementConfig;
use terminal::custody::{Custody, write_image};
use terminal::desk::{DeskParts, ReaderKind};
use terminal::platform::Platform;
use terminal::report::TouchReport;
use terminal::{Config, Desk};

pub(crate) const INSTITUTION_CODE: &str = "1310000001";
pub(crate) const INSTITUTION_NAME: &str = "見本内科";
/// Long enough to mean "never" in a test that passes.
pub(crate) const NEVER: Duration = Duration::from_secs(600);

pub(crate) fn now() -> UnixSeconds {
    SystemClock.now()
}

/// A folder that goes away with its owner.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("terminal-it-{}-{count}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A card whose key uses and commands can be counted while somebody else holds it.
#[derive(Clone)]
pub(crate) struct CountedCard {
    card: Arc<Mutex<MyNumberCard>>,
    commands: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl CountedCard {
    pub(crate) fn signatures(&self) -> u64 {
        let counts = self.card.lock().unwrap().signatures();
        counts.card_holder_auth + counts.document_signature
    }

    pub(crate) fn commands(&self) -> Vec<Vec<u8>> {
        self.commands.lock().unwrap().clone()
    }
}

impl EmulatedCard for CountedCard {
    fn atr(&self) -> &[u8] {
        &[0x3B, 0x80, 0x80, 0x01, 0x01]
    }

    fn power_on(&mut self) {
        self.card.lock().unwrap().power_on();
    }

    fn power_off(&mut self) {
        self.card.lock().unwrap().power_off();
    }

    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        self.commands.lock().unwrap().push(command.to_vec());
        self.card.lock().unwrap().transmit(command, entropy)
    }
}

/// A card on the reader, and the hand that may take it away.
#[derive(Clone)]
pub(crate) struct Placed {
    card: Arc<Mutex<Box<dyn EmulatedCard>>>,
    present: Arc<AtomicBool>,
    /// Commands after which it is gone.
    commands_left: Arc<Mutex<Option<usize>>>,
}

impl Placed {
    pub(crate) fn take(&self) {
        self.present.store(false, Ordering::SeqCst);
    }
}

impl CardChannel for Placed {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ChannelError> {
        let mut left = self.commands_left.lock().unwrap();
        if *left == Some(0) {
            self.take();
        }
        if !self.present.load(Ordering::SeqCst) {
            return Err(ChannelError::CardRemoved);
        }
        if let Some(count) = left.as_mut() {
            *count -= 1;
        }
        Ok(self.card.lock().unwrap().transmit(command, &mut SystemEntropy))
    }

    fn atr(&self) -> &[u8] {
        &[]
    }

    fn is_present(&mut self) -> bool {
        self.present.load(Ordering::SeqCst)
    }
}

/// The reader's side of [`Hand`].
struct HandReader(mpsc::Receiver<Placed>);

impl Reader for HandReader {
    fn name(&self) -> &str {
        "hand"
    }

    fn wait_for_card(&mut self, timeout: Duration) -> Result<Option<Box<dyn CardChannel>>, ReaderError> {
        let Ok(placed) = self.0.recv_timeout(timeout) else { return Ok(None) };
        let mut card = placed.card.lock().unwrap();
        card.power_off();
        card.power_on();
        drop(card);
        Ok(Some(Box::new(placed)))
    }
}

/// Puts cards on a reader.
pub(crate) struct Hand(mpsc::Sender<Placed>);

impl Hand {
    pub(crate) fn place(&self, card: impl EmulatedCard + 'static) -> Placed {
        self.place_for(card, None)
    }

    pub(crate) fn place_for(&self, card: impl EmulatedCard + 'static, commands: Option<usize>) -> Placed {
        let placed = Placed {
            card: Arc::new(Mutex::new(Box::new(card))),
            present: Arc::new(AtomicBool::new(true)),
            commands_left: Arc::new(Mutex::new(commands)),
        };
        self.0.send(placed.clone()).unwrap();
        placed
    }
}

/// Everything on disk, and the keys that are not.
pub(crate) struct Estate {
    pub(crate) folder: Folder,
    pub(crate) ca: PathBuf,
    pub(crate) server_tls: TlsFiles,
    pub(crate) terminal_tls: TlsFiles,
    pub(crate) unlock_pkcs8: Vec<u8>,
    pub(crate) image: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) card: CountedCard,
    /// The same card as one that has nothing but `jicsap`.
    pub(crate) card_without_batch: CountedCard,
    /// The authentication certificate on both.
    pub(crate) certificate: Vec<u8>,
    pub(crate) eac: EacParties,
    pub(crate) town_ca: IssuingAuthority,
}

fn serial(number: u64) -> SerialNumber {
    SerialNumber::from_octets(&number.to_be_bytes()).unwrap()
}

/// The same year for everybody: a certificate does not outlive its issuer's by a second.
fn year() -> Validity {
    static START: OnceLock<UnixSeconds> = OnceLock::new();
    let start = *START.get_or_init(now);
    Validity { not_before: start.minus(3600), not_after: start.plus(31_536_000) }
}

fn reference(first: u32) -> KeyReference {
    KeyReference::numbered(first, 1).unwrap()
}

impl Estate {
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        let town_ca = IssuingAuthority::self_signed(
            &AuthorityProfile::Town { common_name: "Kazasu town CA" },
            serial(1),
            year(),
            software_signer(&generate_p256_pkcs8().unwrap()).unwrap(),
        )
        .unwrap();
        let ca = folder.write("ca.pem", &encode(PemKind::Certificate, town_ca.certificate_der()));
        let addresses = ["127.0.0.1".parse().unwrap()];
        let server = LeafProfile::TlsServer {
            common_name: "localhost",
            dns_names: &["localhost"],
            ip_addresses: &addresses,
        };
        let server_tls = tls_files(&folder, "server", &town_ca, &server, year());
        let terminal_tls = tls_files(&folder, "terminal", &town_ca, &terminal_profile(), year());

        let root = CvcAuthority::new(reference(7_000_001), CardRsaKey::generate().unwrap());
        let body = CvcAuthority::new(reference(7_100_001), CardRsaKey::generate().unwrap());
        let institution_key = CardRsaKey::generate().unwrap();
        let leaf = CvcPublicKey::of(reference(7_200_001), &institution_key).unwrap();
        let chain = CvcChain {
            intermediate: issue(&root, body.public_key().unwrap()).unwrap(),
            leaf: issue(&body, leaf).unwrap(),
        };
        let unlock_pkcs8 = generate_p256_pkcs8().unwrap().to_vec();
        let image = folder.0.join("se.json");
        let unlock_key = software_signer(&unlock_pkcs8).unwrap();
        let eac = EacParties::new();
        let parts = Personalisation {
            secure_element: SecureElementId(*b"SE000001"),
            unlock_key: UnlockPublicKey::from_spki_der(unlock_key.spki_der()).unwrap(),
            jicsap: JicsapInstitution { key: institution_key, chain },
            eac: eac.institution(),
        };
        write_image(&image, &parts, now().minus(3600)).unwrap();
        let state = folder.0.join("se.state");
        let (cards, certificate) = hanakos_cards(root.public_key().unwrap(), eac.batch());
        let [card, card_without_batch] = cards;
        Self {
            folder,
            ca,
            server_tls,
            terminal_tls,
            unlock_pkcs8,
            image,
            state,
            card,
            card_without_batch,
            certificate,
            eac,
            town_ca,
        }
    }

    /// Terminal certificates that a platform refuses.
    pub(crate) fn expired_terminal(&self) -> TlsFiles {
        let validity = Validity { not_before: now().minus(3000), not_after: now().minus(1000) };
        tls_files(&self.folder, "expired", &self.town_ca, &terminal_profile(), validity)
    }

    pub(crate) async fn stub(&self) -> Stub {
        Stub::open(&self.server_tls, &self.ca, software_signer(&self.unlock_pkcs8).unwrap()).await
    }

    /// The Secure Element's files.
    pub(crate) fn secure_element(&self) -> SecureElementConfig {
        SecureElementConfig {
            image: self.image.clone(),
            state: self.state.clone(),
            chain: Some(self.folder.0.join("se.chain")),
        }
    }

    pub(crate) fn custody(&self) -> Custody {
        Custody::open(&self.secure_element(), Box::new(SystemEntropy)).unwrap()
    }

    pub(crate) fn platform(&self, url: &str, tls: &TlsFiles) -> Platform {
        let tls = chassis::tls::client_config(&self.ca, Some(tls)).unwrap();
        Platform::new(Client::new(url, tls).unwrap(), Readiness::expecting(&[]))
    }

    pub(crate) fn config(&self, stub: &Stub) -> Config {
        Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            virtual_reader: Some("127.0.0.1:0".parse().unwrap()),
            pcsc_readers: Vec::new(),
            consent_timeout_seconds: 600,
            result_seconds: 600,
            result_with_card_seconds: 600,
            nonce_seconds: 300,
            platform: terminal::config::PlatformConfig { url: url(stub), ca: self.ca.clone() },
            tls: self.terminal_tls.clone(),
            secure_element: self.secure_element(),
        }
    }
}

pub(crate) fn url(stub: &Stub) -> String {
    format!("https://localhost:{}", stub.address.port())
}

const fn terminal_profile() -> LeafProfile<'static> {
    LeafProfile::TlsClient {
        institution_name: INSTITUTION_NAME,
        institution_code: INSTITUTION_CODE,
        terminal_name: "reception 1",
    }
}

fn tls_files(
    folder: &Folder,
    name: &str,
    ca: &IssuingAuthority,
    profile: &LeafProfile<'_>,
    validity: Validity,
) -> TlsFiles {
    let pkcs8 = generate_p256_pkcs8().unwrap();
    let signer = software_signer(&pkcs8).unwrap();
    let der = ca.issue(profile, serial(2), validity, signer.spki_der()).unwrap();
    TlsFiles {
        cert: folder.write(&format!("{name}.pem"), &encode(PemKind::Certificate, &der)),
        key: folder.write(&format!("{name}.key.pem"), &encode(PemKind::PrivateKey, &pkcs8)),
    }
}

fn hanakos_cards(terminal_root: CvcPublicKey, batch: BatchMaterial) -> ([CountedCard; 2], Vec<u8>) {
    let authority = IssuingAuthority::self_signed(
        &AuthorityProfile::Jpki {
            purpose: JpkiPurpose::Authentication,
            organization: "JPKI-EMULATED",
            operator: "KAZASU TEST",
        },
        serial(1),
        year(),
        software_signer(&generate_rsa_2048_pkcs8().unwrap()).unwrap(),
    )
    .unwrap();
    let private_key = CardRsaKey::generate().unwrap();
    let municipality = Municipality::new("13221", "Tokyo-to", "Kiyose-shi").unwrap();
    let profile = LeafProfile::JpkiAuth {
        common_name: "ABCDEFGHIJKLMN13221003A",
        municipality: &municipality,
        ocsp_uri: None,
        list_place: None,
    };
    let certified = CertifiedKey {
        end_entity_der: authority.issue(&profile, serial(1001), year(), private_key.spki_der()).unwrap(),
        issuer_der: authority.certificate_der().to_vec(),
        private_key,
    };
    let certificate = certified.end_entity_der.clone();
    let holder = card::my_number_card::Personalisation::child(
        certified,
        AuthPin::parse("1234").unwrap(),
        terminal_root,
    );
    let counted = |image| CountedCard {
        card: Arc::new(Mutex::new(MyNumberCard::new(image))),
        commands: Arc::default(),
    };
    let without_batch = counted(holder.image().unwrap());
    ([counted(holder.of_batch(batch).image().unwrap()), without_batch], certificate)
}

/// A desk with one reader, in this process, against a platform.
pub(crate) struct Town {
    pub(crate) desk: Desk,
    pub(crate) hand: Hand,
    pub(crate) stub: Stub,
    pub(crate) estate: Estate,
    trigger: ShutdownTrigger,
}

pub(crate) const SLOW: DeskTimes =
    DeskTimes { consent: NEVER, result_after_card: NEVER, result_with_card: NEVER, nonce_seconds: 3600 };

impl Town {
    pub(crate) async fn open(times: DeskTimes) -> Self {
        let estate = Estate::new();
        let stub = estate.stub().await;
        Self::open_with(estate, stub, times)
    }

    pub(crate) fn open_with(estate: Estate, stub: Stub, times: DeskTimes) -> Self {
        let (trigger, signal) = ShutdownSignal::new();
        let parts = DeskParts {
            custody: estate.custody(),
            platform: estate.platform(&url(&stub), &estate.terminal_tls),
            clock: Arc::new(SystemClock),
            entropy: Box::new(SystemEntropy),
            times,
            readiness: Readiness::expecting(&[]),
        };
        let desk = Desk::open(parts, signal);
        let (sender, receiver) = mpsc::channel();
        desk.attach(Box::new(HandReader(receiver)), ReaderKind::Virtual).unwrap();
        Self { desk, hand: Hand(sender), stub, estate, trigger }
    }

    /// Waits until the desk is in a phase that `wanted` takes, and gives what it gave.
    pub(crate) async fn until<T>(&self, what: &str, wanted: impl Fn(&Phase) -> Option<T>) -> T {
        until(&self.desk, what, wanted).await
    }

    pub(crate) async fn until_idle(&self) {
        self.until("idle", |phase| matches!(phase, Phase::Idle).then_some(())).await;
    }

    /// The token of the question, as soon as it is on the screen.
    pub(crate) async fn question(&self) -> ConsentToken {
        self.until("consent", |phase| match phase {
            Phase::Consent { question, .. } => Some(question.token.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn result(&self) -> TouchReport {
        self.until("result", |phase| match phase {
            Phase::Result { report, .. } => Some((**report).clone()),
            _ => None,
        })
        .await
    }

    /// Places hanako's card, presses OK, and gives the report; the card stays where it is.
    pub(crate) async fn touch(&self) -> (TouchReport, Placed) {
        self.touch_with(&self.estate.card).await
    }

    /// The same with another card.
    pub(crate) async fn touch_with(&self, card: &CountedCard) -> (TouchReport, Placed) {
        let placed = self.hand.place(card.clone());
        let token = self.question().await;
        self.desk.press_ok(token).unwrap();
        (self.result().await, placed)
    }

    pub(crate) async fn close(mut self) {
        self.trigger.pull();
        self.desk.close().await;
        self.stub.stop().await;
    }
}

/// Waits for a phase without polling; gives up only to keep a broken test from hanging for ever.
pub(crate) async fn until<T>(desk: &Desk, what: &str, wanted: impl Fn(&Phase) -> Option<T>) -> T {
    let waiting = async {
        let mut revision = 0;
        loop {
            let session = desk.session_after(revision, NEVER).await;
            revision = session.revision;
            if let Some(found) = wanted(&session.phase) {
                return found;
            }
        }
    };
    match tokio::time::timeout(Duration::from_secs(60), waiting).await {
        Ok(found) => found,
        Err(_) => panic!("no {what} within a minute; the desk is at {:?}", desk.session().phase),
    }
}
