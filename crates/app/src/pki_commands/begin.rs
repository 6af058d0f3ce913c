//! `kazasu pki begin`: an authority from its config file, with keys of ceremonies or new ones.

use crate::cli::Common;
use crate::output::Exit;
use crate::touch::refuse;
use chassis::clock::SystemClock;
use chassis::entropy::SystemEntropy;
use clap::Args;
use jpki_authority::error::AuthorityError;
use jpki_authority::{Authority, CertificateKind};
use protocol::problem::{Problem, ProblemCode};
use protocol::time::Clock as _;
use std::path::PathBuf;

/// `kazasu pki begin`.
#[derive(Debug, Args)]
pub(crate) struct BeginArgs {
    /// Common options.
    #[command(flatten)]
    common: Common,
    /// The authority's config file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// `kazasu pki begin`.
pub(crate) fn run(args: &BeginArgs) -> anyhow::Result<Exit> {
    let json = args.common.json;
    let config = match jpki_authority::serve::load_config(&args.config) {
        Ok(config) => config,
        Err(error) => {
            return refuse(&Problem::new(ProblemCode::InputUnusable).with_detail(error.to_string()), json);
        }
    };
    let authority = match Authority::init(config, SystemClock.now(), &mut SystemEntropy) {
        Ok(authority) => authority,
        Err(error) => {
            let code = match error {
                AuthorityError::KeyPlace(_) | AuthorityError::Key(_) => ProblemCode::KeyPlaceRefused,
                AuthorityError::AlreadyThere { .. } => ProblemCode::CeremonyRefused,
                _ => ProblemCode::InputUnusable,
            };
            return refuse(&Problem::new(code).with_detail(error.to_string()), json);
        }
    };
    let digest = |kind| jpki_authority::ceremony::sha256_hex(authority.ca_certificate_der(kind));
    let [auth, sign] = CertificateKind::ALL.map(digest);
    if json {
        println!("{:#}", serde_json::json!({ "auth_ca_sha256": auth, "sign_ca_sha256": sign }));
    } else {
        println!("  ✓ 認証局を始めました / the authority has begun: {}", args.config.display());
        println!("    {auth}  auth-ca.pem (SHA-256)");
        println!("    {sign}  sign-ca.pem (SHA-256)");
    }
    Ok(Exit::Done)
}
