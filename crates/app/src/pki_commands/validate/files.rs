//! Files of certificates, lists and responses: DER, or PEM with any number of blocks (RFC 7468).

use base64::Engine as _;
use std::path::{Path, PathBuf};

/// What a file should hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pki_commands) enum Kind {
    Certificate,
    List,
    Response,
    SignedData,
}

impl Kind {
    /// Labels that stand for it: RFC 7468 §5.1 and §6, and those of older programs.
    const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Certificate => &["CERTIFICATE", "X509 CERTIFICATE"],
            Self::List => &["X509 CRL", "CRL"],
            Self::Response => &["OCSP RESPONSE"],
            Self::SignedData => &["CMS", "PKCS7"],
        }
    }
}

/// One object and where it came from.
#[derive(Debug)]
pub(in crate::pki_commands) struct Input {
    /// File, and the number of the block if there are several.
    pub(in crate::pki_commands) name: String,
    /// What should be its DER.
    pub(in crate::pki_commands) der: Vec<u8>,
    /// Why there is none, if the file says it is text and the text is not what it should be.
    pub(in crate::pki_commands) problem: Option<String>,
}

/// Every object of every file.
pub(in crate::pki_commands) fn read_all(paths: &[PathBuf], kind: Kind) -> Result<Vec<Input>, String> {
    let mut inputs = Vec::new();
    for path in paths {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        inputs.extend(split(path, bytes, kind));
    }
    Ok(inputs)
}

/// A file without any PEM block is base64 alone, as mail and archives have it, or else taken for DER: if it is
/// not, reading it will say where it fails. A file with blocks of other kinds only says so, because nothing
/// else would tell that it was of no use.
fn split(path: &Path, bytes: Vec<u8>, kind: Kind) -> Vec<Input> {
    let name = path.display().to_string();
    let blocks = blocks(&bytes);
    if blocks.is_empty() {
        let der = bare_base64(&bytes).unwrap_or(bytes);
        return vec![Input { name, der, problem: None }];
    }
    let wanted: Vec<&Block> =
        blocks.iter().filter(|block| kind.labels().contains(&block.label.as_str())).collect();
    if wanted.is_empty() {
        let mut labels: Vec<_> = blocks.iter().map(|block| block.label.as_str()).collect();
        labels.dedup();
        let wanted = kind.labels().first().copied().unwrap_or_default();
        let problem = format!("PEM without a {wanted} block, but with {}", labels.join(", "));
        return vec![Input { name, der: Vec::new(), problem: Some(problem) }];
    }
    let several = wanted.len() > 1;
    let numbered = |place: usize| if several { format!("{name}#{}", place + 1) } else { name.clone() };
    let inputs = wanted.into_iter().enumerate().map(|(place, block)| {
        let (der, problem) = match &block.octets {
            Ok(der) => (der.clone(), None),
            Err(problem) => (Vec::new(), Some((*problem).to_owned())),
        };
        Input { name: numbered(place), der, problem }
    });
    inputs.collect()
}

/// A PEM block: RFC 7468 §2.
struct Block {
    label: String,
    octets: Result<Vec<u8>, &'static str>,
}

/// Every block; text between them is skipped, in whatever encoding.
fn blocks(bytes: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = Vec::new();
    let mut rest = &*text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((label, body)) = after.split_once("-----") else { break };
        let label = label.to_owned();
        let Some((body, after)) = body.split_once(&format!("-----END {label}-----")) else {
            found.push(Block { label, octets: Err("PEM block without an end") });
            rest = body;
            continue;
        };
        let octets = base64_octets(body).ok_or("PEM block that is not base64");
        found.push(Block { label, octets });
        rest = after;
    }
    found
}

fn base64_octets(text: &str) -> Option<Vec<u8>> {
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(packed).ok()
}

/// The octets of a file that is base64 and nothing else, and holds a SEQUENCE.
fn bare_base64(bytes: &[u8]) -> Option<Vec<u8>> {
    let octets = base64_octets(std::str::from_utf8(bytes).ok()?)?;
    (octets.first() == Some(&0x30)).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(text: &str, kind: Kind) -> Vec<Vec<u8>> {
        split(Path::new("x"), text.as_bytes().to_vec(), kind).into_iter().map(|input| input.der).collect()
    }

    #[test]
    fn several_blocks_with_words_between_them() {
        let text = "a note\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\nsubject=x\n\
            -----BEGIN X509 CRL-----\r\nMAEA\r\n-----END X509 CRL-----\n\
            -----BEGIN CERTIFICATE-----\nMAEB\n-----END CERTIFICATE-----\n";
        assert_eq!(octets(text, Kind::Certificate), [vec![0x30, 0], vec![0x30, 1, 1]]);
        assert_eq!(octets(text, Kind::List), [vec![0x30, 1, 0]]);
        let [none] = &split(Path::new("x"), text.into(), Kind::Response)[..] else { panic!() };
        let problem = "PEM without a OCSP RESPONSE block, but with CERTIFICATE, X509 CRL, CERTIFICATE";
        assert_eq!((none.der.as_slice(), none.problem.as_deref()), (&[][..], Some(problem)));
        let names: Vec<_> = split(Path::new("x"), text.into(), Kind::Certificate);
        assert_eq!(names.iter().map(|input| input.name.as_str()).collect::<Vec<_>>(), ["x#1", "x#2"]);
    }

    #[test]
    fn what_is_no_pem_is_left_to_the_reader() {
        assert_eq!(octets("nonsense", Kind::List), [b"nonsense".to_vec()]);
        assert_eq!(octets("", Kind::List), [Vec::<u8>::new()]);
        assert_eq!(octets("MAEA\n", Kind::List), [vec![0x30, 1, 0]]);
        // Base64 of something else is not touched.
        assert_eq!(octets("AAAA", Kind::List), [b"AAAA".to_vec()]);
    }

    #[test]
    fn blocks_that_are_torn_are_told_and_their_neighbours_are_read() {
        let problems = |text: &[u8]| {
            let inputs = split(Path::new("x"), text.to_vec(), Kind::Certificate);
            inputs.into_iter().map(|input| (input.der, input.problem)).collect::<Vec<_>>()
        };
        let good = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let noise = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        let cut = "-----BEGIN CERTIFICATE-----\nMAA";
        assert_eq!(
            problems([good, noise, cut].concat().as_bytes()),
            [
                (vec![0x30, 0], None),
                (vec![], Some("PEM block that is not base64".to_owned())),
                (vec![], Some("PEM block without an end".to_owned())),
            ]
        );
        // Words in another encoding around it.
        let shift_jis = [b"\x8e\x96\x8e\xd2\n", good.as_bytes()].concat();
        assert_eq!(problems(&shift_jis), [(vec![0x30, 0], None)]);
    }
}
