//! Files of certificates, lists and responses: DER, or PEM with any number of blocks (RFC 7468).

use base64::Engine as _;
use std::path::{Path, PathBuf};

/// What a file should hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Certificate,
    List,
    Response,
}

impl Kind {
    /// Labels that stand for it: RFC 7468 §5.1 and §6, and those of older programs.
    const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Certificate => &["CERTIFICATE", "X509 CERTIFICATE"],
            Self::List => &["X509 CRL", "CRL"],
            Self::Response => &["OCSP RESPONSE"],
        }
    }
}

/// One object and where it came from.
#[derive(Debug)]
pub(super) struct Input {
    /// File, and the number of the block if there are several.
    pub(super) name: String,
    /// What should be its DER.
    pub(super) der: Vec<u8>,
}

/// Every object of every file.
pub(super) fn read_all(paths: &[PathBuf], kind: Kind) -> Result<Vec<Input>, String> {
    let mut inputs = Vec::new();
    for path in paths {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        inputs.extend(split(path, bytes, kind));
    }
    Ok(inputs)
}

/// A file without any PEM block is taken for DER: if it is not, reading it will say where it fails.
fn split(path: &Path, bytes: Vec<u8>, kind: Kind) -> Vec<Input> {
    let name = path.display().to_string();
    let blocks = std::str::from_utf8(&bytes).map(blocks).unwrap_or_default();
    if blocks.is_empty() {
        return vec![Input { name, der: bytes }];
    }
    let wanted: Vec<_> = blocks.into_iter().filter(|(label, _)| kind.labels().contains(label)).collect();
    let several = wanted.len() > 1;
    let numbered = |place: usize| if several { format!("{name}#{}", place + 1) } else { name.clone() };
    wanted.into_iter().enumerate().map(|(place, (_, der))| Input { name: numbered(place), der }).collect()
}

/// Label and octets of each block; text between blocks is skipped, as RFC 7468 §2 allows. A block that is
/// not base64 has no octets, so that it is refused when it is read.
fn blocks(text: &str) -> Vec<(&str, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((label, body)) = after.split_once("-----") else { break };
        let Some((body, after)) = body.split_once(&format!("-----END {label}-----")) else { break };
        let packed: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        found.push((label, base64::engine::general_purpose::STANDARD.decode(packed).unwrap_or_default()));
        rest = after;
    }
    found
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
        assert!(octets(text, Kind::Response).is_empty());
        let names: Vec<_> = split(Path::new("x"), text.into(), Kind::Certificate);
        assert_eq!(names.iter().map(|input| input.name.as_str()).collect::<Vec<_>>(), ["x#1", "x#2"]);
    }

    #[test]
    fn what_is_no_pem_is_left_to_the_reader() {
        assert_eq!(octets("nonsense", Kind::List), [b"nonsense".to_vec()]);
        assert_eq!(octets("", Kind::List), [Vec::<u8>::new()]);
        let torn = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----";
        assert_eq!(octets(torn, Kind::Certificate), [Vec::<u8>::new()]);
    }
}
