//! `kazasu pki validate`: anybody's certificates, lists and responses against `pki::validate::validate`.

pub(super) mod files;
mod report;
pub(super) mod words;

use crate::cli::Common;
use crate::output::Exit;
use chassis::clock::SystemClock;
use clap::{Args, ValueEnum};
use der::asn1::ObjectIdentifier;
use files::{Input, Kind};
use pki::certificate::Certificate;
use pki::signature_scheme::Sha1;
use pki::validate::input::{
    AnyPolicy, ExplicitPolicy, Freshness, InitialPolicies, PolicyMapping, RevocationRule,
};
use pki::validate::{Evidence, Profile, Question, TrustAnchor};
use protocol::time::{Clock as _, UnixSeconds};
use report::{Ignored, Report};
use std::io::Write as _;
use std::path::PathBuf;

/// Examples and meanings for the help page.
pub(crate) const VALIDATE_EXAMPLES: &str = "\
The chain: the first certificate of the first --chain file is the one that is asked about. All others, of
--chain and --untrusted alike and in any order, are a bag that paths are built from. --trust alone is trusted;
a trusted certificate need not be self-signed, and its own dates, key usage and constraints count. One that is
no authority's is trusted for itself, where it is the one that is asked about.

Files: DER, base64, or PEM with any number of blocks and any text around them. What is of no use is named, with
the reason, in \"ignored\"; a list or response that cannot be read may have spoken of any certificate.

Revocation: --revocation required  every certificate below the trusted one must be known to be good
            --revocation if-present  one that no list and no response speaks of may pass; one that is spoken of
                                   by something stale, foreign or badly signed may not
            --revocation none      nothing is looked at
            left out               required as soon as a --crl or --ocsp is given, none without

Answer: one JSON object on standard output, {valid, error, path, policies, revocation, ignored}; the same in
words on standard error, unless --json is given.

Examples:
  kazasu pki validate --trust root.pem --chain leaf.pem intermediate.pem
  kazasu pki validate --trust root.crt --chain leaf.crt --untrusted bag.pem --crl root.crl ca.crl
  kazasu pki validate --trust root.crt --chain leaf.crt --ocsp answer.der --at 2025-11-22T01:02:03Z
  kazasu pki validate --trust root.crt --chain leaf.crt --policy 1.2.3.4 --require-explicit-policy
  kazasu pki validate --trust auth.ca.pem --chain hanako.pem --profile jpki-auth --json

Exit codes: 0 valid, 1 not valid, 2 usage (an unknown option or value, a file that cannot be opened).";

/// `kazasu pki validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// Trusted certificates, DER or PEM (several per PEM file).
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// The certificate asked about, first; then its issuers, in any order. DER or PEM.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    chain: Vec<PathBuf>,
    /// More certificates that may be issuers, of lists and responses too. DER or PEM.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    untrusted: Vec<PathBuf>,
    /// Revocation lists, complete or delta, DER or PEM.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// OCSP responses, DER or PEM.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    ocsp: Vec<PathBuf>,
    /// The instant asked about: RFC 3339, or seconds since 1970; now, if left out.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<UnixSeconds>,
    /// A policy that will do (user-initial-policy-set); any, if left out.
    #[arg(long, num_args = 1.., value_name = "OID", value_parser = identifier)]
    policy: Vec<ObjectIdentifier>,
    /// The path must be valid under such a policy.
    #[arg(long)]
    require_explicit_policy: bool,
    /// Policy mappings in the path do not count.
    #[arg(long)]
    inhibit_policy_mapping: bool,
    /// anyPolicy in the path does not count.
    #[arg(long)]
    inhibit_any_policy: bool,
    /// What the certificate must be for.
    #[arg(long, value_name = "NAME", default_value = "rfc5280", value_parser = profile)]
    profile: Profile,
    /// A purpose that every extKeyUsage in the path must allow: server-auth, client-auth, code-signing,
    /// email-protection, time-stamping, ocsp-signing, or an object identifier.
    #[arg(long, value_name = "NAME|OID", value_parser = purpose)]
    purpose: Option<ObjectIdentifier>,
    /// What must be known of revocation; see below.
    #[arg(long, value_enum)]
    revocation: Option<Rule>,
    /// A list or response older than this says nothing good, whatever its nextUpdate.
    #[arg(long, value_name = "SECONDS")]
    status_age_max: Option<u64>,
    /// How far clocks may differ; 0 if --at is given, else 60.
    #[arg(long, value_name = "SECONDS")]
    clock_tolerance: Option<u64>,
    /// The nonce that the OCSP request carried, in hexadecimal.
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    ocsp_nonce: Option<Nonce>,
    /// Signatures over SHA-1.
    #[arg(long, value_enum, default_value = "historic")]
    sha1: Sha1Rule,
}

/// What must be known of revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Rule {
    /// Every certificate below the trusted one must be known to be good.
    Required,
    /// One that nothing speaks of may pass.
    IfPresent,
    /// Nothing is looked at.
    None,
}

/// Whether SHA-1 counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Sha1Rule {
    /// Never.
    Refuse,
    /// For instants before 2017, when it was still issued with.
    Historic,
}

/// Octets given in hexadecimal.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Nonce(Vec<u8>);

fn nonce(text: &str) -> Result<Nonce, String> {
    hex::decode(text).map(Nonce).map_err(|error| error.to_string())
}

pub(super) fn instant(text: &str) -> Result<UnixSeconds, String> {
    let seconds = match text.parse::<i64>() {
        Ok(seconds) => seconds,
        // Whole seconds, as certificates count them: a fraction is cut off, not rounded.
        Err(_) => text.parse::<jiff::Timestamp>().map_err(|error| error.to_string())?.as_second(),
    };
    u64::try_from(seconds).map(UnixSeconds).map_err(|_| "before 1970".to_owned())
}

fn identifier(text: &str) -> Result<ObjectIdentifier, String> {
    ObjectIdentifier::new(text).map_err(|error| error.to_string())
}

pub(super) fn profile(text: &str) -> Result<Profile, String> {
    Profile::from_name(text)
        .ok_or_else(|| format!("one of {}", Profile::ALL.map(|profile| profile.as_str()).join(", ")))
}

fn purpose(text: &str) -> Result<ObjectIdentifier, String> {
    let named = match text.to_ascii_lowercase().replace('-', "").as_str() {
        "serverauth" => pki::oid::SERVER_AUTH,
        "clientauth" => pki::oid::CLIENT_AUTH,
        "codesigning" => pki::oid::CODE_SIGNING,
        "emailprotection" => pki::oid::EMAIL_PROTECTION,
        "timestamping" => pki::oid::TIME_STAMPING,
        "ocspsigning" => pki::oid::OCSP_SIGNING,
        _ => return identifier(text).map_err(|error| format!("neither a known purpose nor an OID: {error}")),
    };
    Ok(named)
}

impl ValidateArgs {
    fn question(&self) -> Question {
        let now = SystemClock.now();
        let rule = self.revocation.unwrap_or(if self.crl.is_empty() && self.ocsp.is_empty() {
            Rule::None
        } else {
            Rule::Required
        });
        let tolerance = self.clock_tolerance.or(self.at.map(|_| 0));
        let usual = Freshness::default();
        Question {
            initial_policies: match self.policy.as_slice() {
                [] => InitialPolicies::Any,
                policies => InitialPolicies::OneOf(policies.to_vec()),
            },
            explicit_policy: if self.require_explicit_policy {
                ExplicitPolicy::Required
            } else {
                ExplicitPolicy::WhereCertificatesSaySo
            },
            policy_mapping: if self.inhibit_policy_mapping {
                PolicyMapping::Inhibited
            } else {
                PolicyMapping::Allowed
            },
            any_policy: if self.inhibit_any_policy { AnyPolicy::Inhibited } else { AnyPolicy::Counts },
            purpose: self.purpose,
            profile: self.profile,
            revocation: match rule {
                Rule::Required => RevocationRule::Required,
                Rule::IfPresent => RevocationRule::IfPresent,
                Rule::None => RevocationRule::None,
            },
            freshness: Freshness {
                age_seconds_max: self.status_age_max.unwrap_or(usual.age_seconds_max),
                clock_tolerance_seconds: tolerance.unwrap_or(usual.clock_tolerance_seconds),
                ..usual
            },
            ocsp_nonce: self.ocsp_nonce.as_ref().map(|nonce| nonce.0.clone()),
            sha1: match self.sha1 {
                Sha1Rule::Refuse => Sha1::Refuse,
                Sha1Rule::Historic => Sha1::HISTORIC,
            },
            ..Question::at(self.at.unwrap_or(now))
        }
    }
}

/// `kazasu pki validate`.
pub(crate) fn run(args: &ValidateArgs) -> anyhow::Result<Exit> {
    let read = |paths: &[PathBuf], kind| files::read_all(paths, kind);
    let inputs = read(&args.trust, Kind::Certificate).and_then(|trust| {
        Ok((
            trust,
            read(&args.chain, Kind::Certificate)?,
            read(&args.untrusted, Kind::Certificate)?,
            read(&args.crl, Kind::List)?,
            read(&args.ocsp, Kind::Response)?,
        ))
    });
    let (trust, chain, untrusted, lists, responses) = match inputs {
        Ok(inputs) => inputs,
        Err(error) => {
            eprintln!("kazasu: {error}");
            return Ok(Exit::Usage);
        }
    };
    let question = args.question();
    let mut ignored: Vec<Ignored> = Vec::new();
    let anchors = trusted(&trust, chain.first(), &mut ignored);
    let report = match chain.split_first() {
        None => Report::unreadable_leaf(&question),
        Some((leaf, rest)) => {
            let mut evidence = Evidence::new();
            for input in rest.iter().chain(&untrusted) {
                note(&mut ignored, input, evidence.add_certificate(&input.der));
            }
            for input in &lists {
                note(&mut ignored, input, evidence.add_list(&input.der));
            }
            for input in &responses {
                note(&mut ignored, input, evidence.add_response(&input.der));
            }
            // An unreadable leaf is told by its file too.
            note(&mut ignored, leaf, Certificate::parse(&leaf.der));
            let outcome = pki::validate::validate(&leaf.der, &anchors, &evidence, &question);
            Report::of(&outcome, &anchors, &question)
        }
    };
    let report = report.with_ignored(ignored);
    if !args.common.json {
        eprintln!("{}", report.words());
    }
    let answer = serde_json::to_string_pretty(&report)?;
    // Whoever reads it may have read enough and gone; the exit code says the rest.
    if let Err(error) = writeln!(std::io::stdout(), "{answer}")
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(error.into());
    }
    Ok(if report.valid { Exit::Done } else { Exit::Refused })
}

/// An anchor that cannot be used is left out, and said so: another one may do. The certificate asked about may
/// be among them: one of no authority is then trusted for itself.
fn trusted(inputs: &[Input], asked: Option<&Input>, ignored: &mut Vec<Ignored>) -> Vec<TrustAnchor> {
    let mut anchors = Vec::new();
    for input in inputs {
        let is_asked = asked.is_some_and(|asked| asked.der == input.der);
        let anchor = match TrustAnchor::from_certificate(&input.der) {
            Err(problem) if is_asked => TrustAnchor::pinned(&input.der).map_err(|_| problem),
            anchor => anchor,
        };
        match anchor {
            Ok(anchor) => anchors.push(anchor),
            Err(problem) => ignored.push(Ignored::of(input, &problem)),
        }
    }
    anchors
}

fn note<T, E: std::fmt::Display>(ignored: &mut Vec<Ignored>, input: &Input, outcome: Result<T, E>) {
    if let Err(error) = outcome {
        ignored.push(Ignored::of(input, &error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_cut_to_whole_seconds() {
        assert_eq!(instant("2025-11-22T01:02:03Z"), Ok(UnixSeconds(1_763_773_323)));
        assert_eq!(instant("2025-11-22T10:02:03.999+09:00"), Ok(UnixSeconds(1_763_773_323)));
        assert_eq!(instant("1763773323"), Ok(UnixSeconds(1_763_773_323)));
        for bad in ["", "yesterday", "2025-11-22", "-1", "1969-12-31T23:59:59Z"] {
            assert!(instant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn purposes_have_names_and_numbers() {
        assert_eq!(purpose("server-auth"), Ok(pki::oid::SERVER_AUTH));
        assert_eq!(purpose("clientAuth"), Ok(pki::oid::CLIENT_AUTH));
        assert_eq!(purpose("1.3.6.1.5.5.7.3.9"), Ok(pki::oid::OCSP_SIGNING));
        assert!(purpose("reading").is_err());
    }
}
