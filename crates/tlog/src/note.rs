//! Signed notes: C2SP signed-note. A text, an empty line, and signatures under it.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// Octets of a note at most. 16 signatures of the largest kind in use fit.
pub const NOTE_OCTETS_MAX: usize = 128 * 1024;
/// Signatures of a note at most; C2SP signed-note asks for 16 at least.
pub const SIGNATURES_MAX: usize = 64;

/// Why a text is no note, or no good one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoteError {
    /// Not the form of a note.
    #[error("not a signed note: {what}")]
    Malformed {
        /// Which rule.
        what: &'static str,
    },
    /// No signature of a key that is trusted.
    #[error("no signature of a key that is trusted")]
    NoKnownKey,
    /// A signature that should be of a trusted key and is not.
    #[error("the signature of {name} does not verify")]
    BadSignature {
        /// Name of the key.
        name: String,
    },
    /// Not the text of a verifier key, or of a kind that is not used here.
    #[error("not a verifier key: {what}")]
    Key {
        /// Which rule.
        what: &'static str,
    },
    /// A key that cannot sign.
    #[error("the signing key: {what}")]
    Signer {
        /// Which rule.
        what: &'static str,
    },
}

/// What a signature is over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SignatureKind {
    /// Ed25519 over the text: type 0x01.
    Ed25519,
    /// A witness's Ed25519 over the text and a time: type 0x04 of C2SP tlog-cosignature.
    Cosignature,
}

impl SignatureKind {
    const fn code(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

/// Key names have neither spaces nor plus signs.
fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn key_id(name: &str, kind: SignatureKind, public: &[u8]) -> [u8; 4] {
    let mut input = name.as_bytes().to_vec();
    input.extend([b'\n', kind.code()]);
    input.extend(public);
    let hash = digest(&SHA256, &input);
    hash.as_ref().first_chunk::<4>().copied().unwrap_or_default()
}

/// A public key with a name: whom to believe.
#[doc(alias = "検証鍵")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifierKey {
    name: String,
    kind: SignatureKind,
    public: [u8; 32],
    id: [u8; 4],
}

impl VerifierKey {
    /// Of a name and an Ed25519 public key of 32 octets (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// A name with spaces or plus signs, or an empty one.
    pub fn new(name: &str, kind: SignatureKind, public: [u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::Key { what: "its name" });
        }
        Ok(Self { name: name.to_owned(), kind, public, id: key_id(name, kind, &public) })
    }

    /// Reads `<name>+<hexadecimal id>+<base64 of kind and key>`.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let fault = |what| NoteError::Key { what };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(fault("name, id and key, with + between"));
        };
        let key = STANDARD.decode(key).map_err(|_| fault("base64"))?;
        let (code, public) = key.split_first().ok_or(fault("its kind"))?;
        let kinds = [SignatureKind::Ed25519, SignatureKind::Cosignature];
        let kind = kinds.into_iter().find(|kind| kind.code() == *code).ok_or(fault("its kind"))?;
        let key = Self::new(name, kind, public.try_into().map_err(|_| fault("32 octets"))?)?;
        if id == hexadecimal(key.id) { Ok(key) } else { Err(fault("its id")) }
    }

    /// The form that [`Self::parse`] reads.
    pub fn to_text(&self) -> String {
        let key = [&[self.kind.code()], self.public.as_slice()].concat();
        format!("{}+{}+{}", self.name, hexadecimal(self.id), STANDARD.encode(key))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures are over.
    pub const fn kind(&self) -> SignatureKind {
        self.kind
    }
}

fn hexadecimal(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

/// Who signs notes.
pub trait NoteSigner: Send + Sync {
    /// The key that verifies.
    fn verifier(&self) -> &VerifierKey;

    /// Signs octets, 64 octets of signature.
    ///
    /// # Errors
    /// [`NoteError::Signer`].
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NoteError>;
}

/// An Ed25519 key in memory.
pub struct Ed25519Signer {
    key: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519Signer(****)")
    }
}

impl Ed25519Signer {
    /// From a private key of 32 octets (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// A name that is none, or octets that are no key.
    pub fn from_seed(name: &str, kind: SignatureKind, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| NoteError::Signer { what: "no Ed25519 key" })?;
        let public = key.public_key().as_ref().try_into();
        let public = public.map_err(|_| NoteError::Signer { what: "no Ed25519 key" })?;
        Ok(Self { verifier: VerifierKey::new(name, kind, public)?, key })
    }
}

impl NoteSigner for Ed25519Signer {
    fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NoteError> {
        Ok(self.key.sign(message).as_ref().to_vec())
    }
}

/// One signature line, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureLine {
    /// Name of the key.
    pub name: String,
    /// Its id.
    pub id: [u8; 4],
    /// The signature; with a cosignature its time before it.
    pub signature: Vec<u8>,
}

impl SignatureLine {
    fn parse(line: &str) -> Result<Self, NoteError> {
        let fault = NoteError::Malformed { what: "a signature line" };
        let rest = line.strip_prefix("— ").ok_or(fault.clone())?;
        let (name, encoded) = rest.split_once(' ').ok_or(fault.clone())?;
        let octets = STANDARD.decode(encoded).map_err(|_| fault.clone())?;
        let (id, signature) = octets.split_first_chunk::<4>().ok_or(fault.clone())?;
        if !is_key_name(name) || signature.is_empty() {
            return Err(fault);
        }
        Ok(Self { name: name.to_owned(), id: *id, signature: signature.to_vec() })
    }

    fn to_text(&self) -> String {
        let octets = [self.id.as_slice(), &self.signature].concat();
        format!("— {} {}\n", self.name, STANDARD.encode(octets))
    }
}

/// A note as it came, its signatures not looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// A signature that verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// Name of the key.
    pub name: String,
    /// What it signed.
    pub kind: SignatureKind,
    /// For a cosignature: when, in seconds from 1970.
    pub at: Option<u64>,
}

impl Note {
    /// A text of one or more lines, each ended, without signatures.
    ///
    /// # Errors
    /// The text does not end in a newline, has control characters, or has an empty line at its end.
    pub fn new(text: &str) -> Result<Self, NoteError> {
        check_text(text)?;
        Ok(Self { text: text.to_owned(), signatures: Vec::new() })
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let fault = |what| NoteError::Malformed { what };
        if note.len() > NOTE_OCTETS_MAX {
            return Err(fault("it is too long"));
        }
        // The last empty line parts text and signatures.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(fault("no empty line"))?;
        let text = format!("{text}\n");
        check_text(&text)?;
        let lines = lines.strip_suffix('\n').ok_or(fault("the last line has no end"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(fault("too many signatures"));
            }
            signatures.push(SignatureLine::parse(line)?);
        }
        Ok(Self { text, signatures })
    }

    /// The text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, as they came.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Everything, as it is sent.
    pub fn to_text(&self) -> String {
        let mut note = format!("{}\n", self.text);
        note.extend(self.signatures.iter().map(SignatureLine::to_text));
        note
    }

    /// Adds a signature; one of the same key is replaced. `at` is the time of a cosignature, in seconds from
    /// 1970, and of no other signature.
    ///
    /// # Errors
    /// The signer's, or a time where none belongs, or none where one does.
    pub fn sign(&mut self, signer: &dyn NoteSigner, at: Option<u64>) -> Result<(), NoteError> {
        let key = signer.verifier();
        let (message, mut signature) = match (key.kind, at) {
            (SignatureKind::Ed25519, None) => (self.text.clone(), Vec::new()),
            (SignatureKind::Cosignature, Some(at)) if i64::try_from(at).is_ok() => {
                (cosigned(at, &self.text), at.to_be_bytes().to_vec())
            }
            _ => return Err(NoteError::Signer { what: "a time belongs to a cosignature" }),
        };
        signature.extend(signer.sign(message.as_bytes())?);
        self.signatures.retain(|line| line.name != key.name || line.id != key.id);
        self.signatures.push(SignatureLine { name: key.name.clone(), id: key.id, signature });
        Ok(())
    }

    /// Verifies every signature of a key among `keys`; signatures of others are of no interest.
    ///
    /// # Errors
    /// None of the keys has signed, one of them has not signed this, or has signed twice.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Vec<Verified>, NoteError> {
        let mut verified = Vec::new();
        let mut seen: Vec<&VerifierKey> = Vec::new();
        for line in &self.signatures {
            let Some(key) = keys.iter().find(|key| key.name == line.name && key.id == line.id) else {
                continue;
            };
            if seen.contains(&key) {
                return Err(NoteError::Malformed { what: "two signatures of one key" });
            }
            seen.push(key);
            let bad = || NoteError::BadSignature { name: key.name.clone() };
            let (at, message, signature) = match key.kind {
                SignatureKind::Ed25519 => (None, self.text.clone(), line.signature.as_slice()),
                SignatureKind::Cosignature => {
                    let (time, signature) = line.signature.split_first_chunk::<8>().ok_or_else(bad)?;
                    let at = u64::from_be_bytes(*time);
                    i64::try_from(at).map_err(|_| bad())?;
                    (Some(at), cosigned(at, &self.text), signature)
                }
            };
            let public = UnparsedPublicKey::new(&ED25519, &key.public);
            public.verify(message.as_bytes(), signature).map_err(|_| bad())?;
            verified.push(Verified { name: key.name.clone(), kind: key.kind, at });
        }
        if verified.is_empty() { Err(NoteError::NoKnownKey) } else { Ok(verified) }
    }
}

/// What a witness signs: C2SP tlog-cosignature, "Ed25519 signed message".
fn cosigned(at: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {at}\n{text}")
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let fault = |what| Err(NoteError::Malformed { what });
    if !text.ends_with('\n') {
        return fault("the text does not end in a newline");
    }
    if text.chars().any(|c| c < ' ' && c != '\n') {
        return fault("a control character");
    }
    if text.len() > NOTE_OCTETS_MAX {
        return fault("it is too long");
    }
    Ok(())
}
