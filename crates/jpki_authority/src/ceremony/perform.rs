//! The steps of a ceremony. Each looks first whether it was taken already, so that a ceremony that broke off
//! goes on where it was: everything random is in `began.json` before the first of them.

use super::approval::{Approvals, approvals_path};
use super::file::{CeremonyFile, Issuer, Make};
use super::transcript::{self, Artefact, KeyRecord, OperatorRecord, Transcript};
use super::{CeremonyError, disk, sha256_hex};
use hsm::{KeyError, KeySource, Pkcs11Key, Token};
use pki::certificate::Certificate;
use pki::issue::{IssueError, IssuingAuthority};
use pki::pem::{self, PemKind};
use pki::profile::{LeafProfile, Validity};
use pki::request::{CertificationRequest, authority_name_der, authority_request};
use pki::serial::SerialNumber;
use pki::signer::IssuerSigner;
use pki::validate::input::RevocationRule;
use pki::validate::{Evidence, Question, TrustAnchor, validate};
use protocol::answer::Bilingual;
use protocol::entropy::Entropy;
use protocol::time::UnixSeconds;
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Octets of the certificate's serial number: 126 random bits, since no store knows the others.
const SERIAL_OCTETS: usize = 16;
/// Octets of a token key's identifier.
const KEY_ID_OCTETS: usize = 16;

/// The steps, in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// Folder, file, approvals, and everything random.
    Begin,
    /// The key, and whether it can leave its place.
    MakeKey,
    /// The certificate or the request.
    Issue,
    /// The result read back and checked.
    Check,
    /// The signed transcript.
    Record,
    /// The folder gets its name.
    Publish,
}

impl Step {
    /// All, in order.
    pub const ALL: [Self; 6] =
        [Self::Begin, Self::MakeKey, Self::Issue, Self::Check, Self::Record, Self::Publish];
}

/// What is drawn once and stays, whatever happens to the process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Began {
    ceremony_sha256: String,
    began: u64,
    serial: String,
    key_id: String,
}

/// A ceremony whose file is whole and approved.
#[derive(Debug)]
pub struct Ceremony {
    file: CeremonyFile,
    octets: Vec<u8>,
    approvals: Approvals,
}

/// How it ended.
#[derive(Debug)]
pub struct Outcome {
    /// Where the results are.
    pub folder: PathBuf,
    /// What the transcript says.
    pub transcript: Transcript,
    /// Whether an earlier attempt had broken off and this one went on with it.
    pub resumed: bool,
}

fn write(path: &Path, octets: &[u8]) -> Result<(), CeremonyError> {
    chassis::files::write_atomic(path, octets).map_err(|error| disk(path, error))
}

fn read(path: &Path) -> Result<Vec<u8>, CeremonyError> {
    fs::read(path).map_err(|error| disk(path, error))
}

fn read_pem(path: &Path, kind: PemKind) -> Result<Vec<u8>, CeremonyError> {
    let text = fs::read_to_string(path).map_err(|error| disk(path, error))?;
    Ok(pem::decode(kind, &text).map_err(|error| disk(path, error))?.to_vec())
}

impl Ceremony {
    /// Reads a ceremony file and its approvals. Nothing is made.
    ///
    /// # Errors
    /// The file asks for something that cannot be meant, or is not approved.
    pub fn prepare(path: &Path) -> Result<Self, CeremonyError> {
        let (file, octets) = CeremonyFile::load(path)?;
        let approvals = Approvals::load(&approvals_path(path))?;
        approvals.verify(&file, &octets)?;
        Ok(Self { file, octets, approvals })
    }

    /// A ceremony that may still lack approvals. It can be rehearsed: [`Self::perform`] asks for them again.
    pub const fn unapproved(file: CeremonyFile, octets: Vec<u8>, approvals: Approvals) -> Self {
        Self { file, octets, approvals }
    }

    /// What will be done, in words.
    pub fn plan(&self) -> Vec<Bilingual> {
        plan(&self.file)
    }

    fn unfinished(&self) -> PathBuf {
        let mut name = self.file.folder.as_os_str().to_owned();
        name.push(".unfinished");
        name.into()
    }

    /// Looks at everything that can be looked at without making anything: places are free, tokens let
    /// themselves be logged in to, the issuer's key belongs to its certificate, a request is signed.
    ///
    /// # Errors
    /// What [`Self::perform`] would fail with.
    pub fn rehearse(&self, now: UnixSeconds) -> Result<(), CeremonyError> {
        if self.file.folder.symlink_metadata().is_ok() {
            return Err(CeremonyError::AlreadyThere { path: self.file.folder.clone() });
        }
        let began = self.began()?;
        if began.is_none() {
            self.key_place_is_free()?;
        }
        if let Some(issuer) = self.file.make.issuer() {
            let issuing = open_issuer(issuer)?;
            let last = now.plus(u64::from(self.file.make.days().unwrap_or(0)) * 86_400);
            if now < issuing.not_before() || last > issuing.not_after().plus(1) {
                return Err(IssueError::Validity.into());
            }
        }
        if let Make::Certify(_) = &self.file.make {
            self.subject_key()?;
        }
        Ok(())
    }

    fn key_place_is_free(&self) -> Result<(), CeremonyError> {
        // A software key lies in the folder, which is not there yet.
        let Some(KeySource::Pkcs11(key)) = self.file.make.new_key().map(|key| &key.place) else {
            return Ok(());
        };
        let any_id = Pkcs11Key { id: None, ..key.clone() };
        if Token::of(&key.token())?.holds(&any_id)? {
            let place = KeySource::Pkcs11(any_id).description();
            return Err(CeremonyError::KeyTaken { place });
        }
        Ok(())
    }

    /// What an attempt that broke off had drawn; none if nothing was made yet.
    fn began(&self) -> Result<Option<Began>, CeremonyError> {
        let folder = self.unfinished();
        let path = folder.join("began.json");
        if !path.exists() {
            return Ok(None);
        }
        let began: Began = serde_json::from_slice(&read(&path)?).map_err(|error| disk(&path, error))?;
        if began.ceremony_sha256 != sha256_hex(&self.octets) {
            return Err(CeremonyError::AnotherBrokeOff { path: folder });
        }
        Ok(Some(began))
    }

    /// Holds the ceremony, or goes on with one that broke off. `before` is told each step before it is
    /// taken, and may stop the ceremony there.
    ///
    /// # Errors
    /// [`CeremonyError`]; what was made so far stays in `FOLDER.unfinished`, and the next attempt uses it.
    pub fn perform(
        &self,
        tool: &str,
        clock: &dyn protocol::time::Clock,
        entropy: &mut dyn Entropy,
        before: &mut dyn FnMut(Step) -> Result<(), CeremonyError>,
    ) -> Result<Outcome, CeremonyError> {
        self.approvals.verify(&self.file, &self.octets)?;
        let resumed = self.began()?.is_some();
        self.rehearse(clock.now())?;
        before(Step::Begin)?;
        let began = self.begin(clock.now(), entropy)?;
        let folder = self.unfinished();
        before(Step::MakeKey)?;
        let made = self.make_key(&folder, &began)?;
        before(Step::Issue)?;
        self.issue(&folder, &began, made.as_ref().map(|(source, _)| source))?;
        before(Step::Check)?;
        // The key that vouches for the transcript: the new one, or the issuer's where none is made.
        let signer = match (&made, self.file.make.issuer()) {
            (Some((source, _)), _) => source.open()?,
            (None, Some(issuer)) => issuer.key.open()?,
            (None, None) => return Err(CeremonyError::Check { check: "a key", why: "none".to_owned() }),
        };
        let checks = self.check(&folder, &began, signer.as_ref())?;
        before(Step::Record)?;
        let key = made.map(|(_, record)| record);
        let transcript = self.record(&folder, &began, key, checks, signer.as_ref(), tool, clock.now())?;
        before(Step::Publish)?;
        self.publish(&folder)?;
        Ok(Outcome { folder: self.file.folder.clone(), transcript, resumed })
    }

    fn begin(&self, now: UnixSeconds, entropy: &mut dyn Entropy) -> Result<Began, CeremonyError> {
        let folder = self.unfinished();
        if let Some(began) = self.began()? {
            // Somebody may have approved since.
            write(&folder.join("approvals.toml"), self.approvals.to_text().as_bytes())?;
            return Ok(began);
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| disk(&folder, error))?;
        write(&folder.join("ceremony.toml"), &self.octets)?;
        write(&folder.join("approvals.toml"), self.approvals.to_text().as_bytes())?;
        if let Some(issuer) = self.file.make.issuer() {
            write(&folder.join("issuer.pem"), &read(&issuer.certificate)?)?;
        }
        let serial = SerialNumber::random(SERIAL_OCTETS, entropy);
        let mut key_id = [0; KEY_ID_OCTETS];
        entropy.fill(&mut key_id);
        let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        let began = Began {
            ceremony_sha256: sha256_hex(&self.octets),
            began: now.0,
            serial: hex(serial.as_bytes()),
            key_id: hex(&key_id),
        };
        let text = serde_json::to_string_pretty(&began).map_err(|error| disk(&folder, error))?;
        write(&folder.join("began.json"), text.as_bytes())?;
        if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            chassis::files::sync_directory(parent).map_err(|error| disk(parent, error))?;
        }
        Ok(began)
    }

    /// Makes the key, or finds the one that an earlier attempt made; and its record.
    fn make_key(
        &self,
        folder: &Path,
        began: &Began,
    ) -> Result<Option<(KeySource, KeyRecord)>, CeremonyError> {
        let Some(new) = self.file.make.new_key() else { return Ok(None) };
        let source = match &new.place {
            KeySource::File(name) => {
                let path = folder.join(name);
                if !path.exists() {
                    let pkcs8 = new.algorithm.generate_pkcs8().map_err(KeyError::from)?;
                    chassis::files::write_private(&path, &pkcs8).map_err(|error| disk(&path, error))?;
                }
                KeySource::File(path)
            }
            KeySource::Pkcs11(place) => {
                let id = place.id.clone().or_else(|| Some(began.key_id.clone()));
                let key = Pkcs11Key { id, ..place.clone() };
                let token = Token::of(&key.token())?;
                // Its identifier was drawn by this ceremony: a key that has it was made by this ceremony.
                if !token.holds(&key)? {
                    token.generate(&key, new.algorithm)?;
                }
                KeySource::Pkcs11(key)
            }
        };
        let protection = source.protection()?;
        if let Some(told) = protection
            && !told.was_never_outside()
        {
            let why = format!("the token says of {}: {told:?}", source.description());
            return Err(CeremonyError::Check { check: "the key was never outside its token", why });
        }
        let signer = source.open()?;
        let place = match &source {
            // Where it comes to lie, not where it lies for the moment.
            KeySource::File(path) => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                format!("file {} in this folder", name.unwrap_or_default())
            }
            KeySource::Pkcs11(_) => source.description(),
        };
        let record = KeyRecord {
            place,
            algorithm: new.algorithm,
            public_key_sha256: sha256_hex(signer.spki_der()),
            protection,
        };
        Ok(Some((source, record)))
    }

    fn validity(&self, began: &Began) -> Validity {
        let not_before = UnixSeconds(began.began);
        let seconds = u64::from(self.file.make.days().unwrap_or(0)) * 86_400;
        // Both instants count: RFC 5280 §4.1.2.5.
        Validity { not_before, not_after: not_before.plus(seconds).minus(1) }
    }

    /// Name and key of whoever is certified without a new key here, taken from the file that was approved.
    fn subject_key(&self) -> Result<(Vec<u8>, Vec<u8>), CeremonyError> {
        let Make::Certify(certify) = &self.file.make else {
            return Err(CeremonyError::File { key: "make", problem: "certifies nobody" });
        };
        let path = &certify.subject;
        let octets = read(path)?;
        if sha256_hex(&octets) != certify.subject_sha256.to_ascii_lowercase() {
            return Err(disk(path, "is not the file whose SHA-256 the operators approved"));
        }
        let text = std::str::from_utf8(&octets).map_err(|error| disk(path, error))?;
        let (subject, spki) = match pem::decode(PemKind::CertificationRequest, text) {
            Ok(der) => {
                let request = CertificationRequest::parse(&der).map_err(|error| disk(path, error))?;
                (request.subject_der().to_vec(), request.spki_der().to_vec())
            }
            Err(_) => {
                let der = pem::decode(PemKind::Certificate, text)
                    .map_err(|_| disk(path, "is neither a request nor a certificate in PEM"))?;
                let certificate = Certificate::parse(&der).map_err(|error| disk(path, error))?;
                if !certificate.is_signed_by(&certificate) {
                    return Err(disk(
                        path,
                        "is not self-signed: nothing shows that its key is held by its subject",
                    ));
                }
                (certificate.subject_der().to_vec(), certificate.spki_der().to_vec())
            }
        };
        if subject != authority_name_der(&certify.profile.profile())? {
            return Err(disk(path, "names another subject than the profile"));
        }
        Ok((subject, spki))
    }

    fn issue(&self, folder: &Path, began: &Began, made: Option<&KeySource>) -> Result<(), CeremonyError> {
        let (name, kind) = match &self.file.make {
            Make::Request(_) => ("request.pem", PemKind::CertificationRequest),
            _ => ("certificate.pem", PemKind::Certificate),
        };
        let path = folder.join(name);
        if path.exists() {
            return Ok(());
        }
        let serial =
            serial_of(&began.serial).ok_or_else(|| disk(folder, "began.json holds no serial number"))?;
        let validity = self.validity(began);
        let open = || made.map(KeySource::open).transpose();
        let spki = || -> Result<Vec<u8>, CeremonyError> {
            Ok(open()?.map(|signer| signer.spki_der().to_vec()).unwrap_or_default())
        };
        let no_key = || CeremonyError::Check { check: "a key", why: "none was made".to_owned() };
        let der = match &self.file.make {
            Make::Root(make) => {
                let signer = open()?.ok_or_else(no_key)?;
                let root = IssuingAuthority::self_signed(&make.profile.profile(), serial, validity, signer)?;
                root.certificate_der().to_vec()
            }
            Make::Request(make) => {
                let signer = open()?.ok_or_else(no_key)?;
                authority_request(&make.profile.profile(), signer.as_ref())?
            }
            Make::Subordinate(make) => {
                let issuing = open_issuer(&make.issuer)?;
                issuing.issue_authority(&make.profile.profile(), serial, validity, &spki()?)?
            }
            Make::Certify(make) => {
                let (_, spki) = self.subject_key()?;
                let issuing = open_issuer(&make.issuer)?;
                issuing.issue_authority(&make.profile.profile(), serial, validity, &spki)?
            }
            Make::Delegate(make) => {
                let profile = LeafProfile::OcspDelegate { common_name: &make.common_name };
                open_issuer(&make.issuer)?.issue(&profile, serial, validity, &spki()?)?
            }
        };
        write(&path, pem::encode(kind, &der).as_bytes())
    }

    /// Reads the results back as somebody else would; gives the checks that were made.
    fn check(
        &self,
        folder: &Path,
        began: &Began,
        signer: &dyn IssuerSigner,
    ) -> Result<Vec<String>, CeremonyError> {
        let mut done = vec![
            format!("{} operators approved the ceremony file", self.approvals.all.len()),
            "the key signs what its public half verifies".to_owned(),
        ];
        match self.file.make.new_key().map(|key| &key.place) {
            Some(KeySource::Pkcs11(_)) => {
                done.push("the key was made in its token, never could leave it, and cannot".to_owned());
            }
            Some(KeySource::File(_)) => done.push("the key is in a file: whoever reads it has it".to_owned()),
            None => {}
        }
        let failed = |check, why: String| CeremonyError::Check { check, why };
        if let Make::Request(_) = &self.file.make {
            let der = read_pem(&folder.join("request.pem"), PemKind::CertificationRequest)?;
            let request = CertificationRequest::parse(&der)
                .map_err(|error| failed("the request proves possession of the key", error.to_string()))?;
            if request.spki_der() != signer.spki_der() {
                return Err(failed("the request is for the new key", "it is for another".to_owned()));
            }
            done.push("the request is for the new key and proves its possession (RFC 2986)".to_owned());
            return Ok(done);
        }
        let der = read_pem(&folder.join("certificate.pem"), PemKind::Certificate)?;
        let certificate =
            Certificate::parse(&der).map_err(|error| failed("the certificate parses", error.to_string()))?;
        let spki = match &self.file.make {
            Make::Certify(_) => self.subject_key()?.1,
            _ => signer.spki_der().to_vec(),
        };
        let validity = self.validity(began);
        let is_at = |seconds: i64, at: UnixSeconds| u64::try_from(seconds) == Ok(at.0);
        if certificate.spki_der() != spki
            || Some(*certificate.serial()) != serial_of(&began.serial)
            || !is_at(certificate.not_before().0, validity.not_before)
            || !is_at(certificate.not_after().0, validity.not_after)
        {
            return Err(failed(
                "the certificate is the one asked for",
                "key, serial number or dates differ".to_owned(),
            ));
        }
        done.push("the certificate is for the key, with the serial number and dates drawn before".to_owned());
        done.push("no error was found by the lint before signing (RFC 5280 and the profile)".to_owned());
        let anchor = if self.file.make.issuer().is_some() {
            read_pem(&folder.join("issuer.pem"), PemKind::Certificate)?
        } else {
            der.clone()
        };
        check_chain(&der, &anchor, validity.not_before)?;
        done.push("the path to its issuer is valid (RFC 5280 section 6)".to_owned());
        Ok(done)
    }

    #[expect(clippy::too_many_arguments, reason = "what a transcript tells, each from another step")]
    fn record(
        &self,
        folder: &Path,
        began: &Began,
        key: Option<KeyRecord>,
        checks: Vec<String>,
        signer: &dyn IssuerSigner,
        tool: &str,
        now: UnixSeconds,
    ) -> Result<Transcript, CeremonyError> {
        write(&folder.join("public-key.pem"), pem::encode(PemKind::PublicKey, signer.spki_der()).as_bytes())?;
        let mut artefacts = Vec::new();
        for name in transcript::ARTEFACTS {
            let path = folder.join(name);
            if path.exists() {
                artefacts.push(Artefact::of(name, &read(&path)?));
            }
        }
        let operators = self.approvals.all.iter().filter_map(|approval| {
            let operator = self.file.operators.iter().find(|who| who.name == approval.operator)?;
            Some(OperatorRecord {
                name: operator.name.clone(),
                public_key_sha256: sha256_hex(&operator.spki_der().ok()?),
                approved: transcript::instant(UnixSeconds(approval.signed_at)),
            })
        });
        let transcript = Transcript {
            format: transcript::FORMAT,
            title: self.file.title.clone(),
            reason: self.file.reason.clone(),
            made: self.file.make.word().to_owned(),
            tool: tool.to_owned(),
            began: transcript::instant(UnixSeconds(began.began)),
            finished: transcript::instant(now),
            ceremony_sha256: began.ceremony_sha256.clone(),
            operators: operators.collect(),
            witnesses: self.file.witnesses.iter().map(|who| (who.name.clone(), who.role.clone())).collect(),
            signed_by: sha256_hex(signer.spki_der()),
            key,
            checks,
            artefacts,
        };
        transcript.write(folder, signer)?;
        Ok(transcript)
    }

    /// One rename makes all results visible. It fails if something came to lie there meanwhile.
    fn publish(&self, folder: &Path) -> Result<(), CeremonyError> {
        chassis::files::sync_directory(folder).map_err(|error| disk(folder, error))?;
        let target = &self.file.folder;
        if target.symlink_metadata().is_ok() {
            return Err(CeremonyError::AlreadyThere { path: target.clone() });
        }
        fs::rename(folder, target).map_err(|error| disk(target, error))?;
        if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            chassis::files::sync_directory(parent).map_err(|error| disk(parent, error))?;
        }
        Ok(())
    }
}

fn open_issuer(issuer: &Issuer) -> Result<IssuingAuthority, CeremonyError> {
    let der = read_pem(&issuer.certificate, PemKind::Certificate)?;
    let signer = issuer.key.open()?;
    IssuingAuthority::from_certificate(der, signer).map_err(|error| disk(&issuer.certificate, error))
}

fn serial_of(text: &str) -> Option<SerialNumber> {
    let octets: Option<Vec<u8>> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    SerialNumber::from_octets(&octets?).ok()
}

/// A path of one step, by the same validator that relying parties have.
pub(super) fn check_chain(leaf: &[u8], anchor: &[u8], at: UnixSeconds) -> Result<(), CeremonyError> {
    let failed = |why: String| CeremonyError::Check { check: "the path to its issuer is valid", why };
    let anchors = [TrustAnchor::from_certificate(anchor).map_err(|error| failed(error.to_string()))?];
    let question = Question { revocation: RevocationRule::None, ..Question::at(at) };
    let outcome = validate(leaf, &anchors, &Evidence::new(), &question);
    outcome.map(drop).map_err(|refusal| failed(refusal.to_string()))
}

/// What a ceremony file asks for, in words.
pub fn plan(file: &CeremonyFile) -> Vec<Bilingual> {
    let line = |ja: String, en: String| Bilingual { ja, en };
    let mut lines =
        vec![line(format!("鍵生成式「{}」", file.title), format!("key ceremony \"{}\"", file.title))];
    if let Some(key) = file.make.new_key() {
        let (word, place) = (key.algorithm.word(), key.place.description());
        lines.push(line(format!("鍵をつくる: {word}、{place}"), format!("make a key: {word}, {place}")));
    }
    let days = file.make.days().unwrap_or(0);
    let issuer =
        file.make.issuer().map(|issuer| issuer.certificate.display().to_string()).unwrap_or_default();
    lines.push(match &file.make {
        Make::Root(_) => line(
            format!("自己署名証明書を発行する: {days} 日間"),
            format!("issue its self-signed certificate for {days} days"),
        ),
        Make::Request(_) => line(
            "上位の認証局あての証明書要求（PKCS#10）をつくる".to_owned(),
            "make a request (PKCS#10) for the authority above".to_owned(),
        ),
        Make::Subordinate(_) | Make::Delegate(_) => line(
            format!("{issuer} の鍵で証明書を発行する: {days} 日間"),
            format!("issue its certificate for {days} days with the key of {issuer}"),
        ),
        Make::Certify(make) => line(
            format!("{} に {issuer} の鍵で証明書を発行する: {days} 日間", make.subject.display()),
            format!("certify {} for {days} days with the key of {issuer}", make.subject.display()),
        ),
    });
    let people: Vec<&str> = file.operators.iter().map(|who| who.name.as_str()).collect();
    let folder = file.folder.display();
    lines.push(line(
        format!("承認: {} のうち {} 名", people.join("、"), file.approvals),
        format!("approved by {} of {}", file.approvals, people.join(", ")),
    ));
    lines.push(line(
        format!("確かめたうえで、署名した記録とともに {folder} に置く"),
        format!("check everything, and put it with a signed transcript into {folder}"),
    ));
    lines
}
