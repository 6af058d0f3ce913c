//! The desk's Secure Element: made once with the town; its certificates of profile `eac`, which live for
//! days, renewed whenever the town starts and less than half of their life is left.

use anyhow::Context as _;
use card::eac::cvc::{CvcDate, Rights, TerminalChain};
use card::eac::p256::{P256Point, P256SigningKey, generate_pkcs8};
use card::rsa_key::CardRsaKey;
use card::secure_element::{EacInstitution, JicsapInstitution, Personalisation, UnlockPublicKey};
use jpki_authority::Authority;
use jpki_authority::accredit::TerminalAccreditation;
use jpki_authority::accredit::eac::EacAccreditation;
use protocol::ids::{InstitutionCode, SecureElementId};
use protocol::time::UnixSeconds;
use std::path::Path;
use terminal::custody;

/// Days of a terminal's certificates: a desk that was stolen cannot prove itself to a card for longer.
const CERTIFICATE_DAYS: u32 = 7;
/// The image's file in the town's folder.
pub(crate) const IMAGE_FILE: &str = "terminal/secure-element.json";
/// The certificates' file.
pub(crate) const CHAIN_FILE: &str = "terminal/secure-element.chain";

/// Whom the Secure Element is for, and whose policies arm it.
pub(crate) struct Order<'a> {
    pub(crate) secure_element: SecureElementId,
    pub(crate) institution: &'a InstitutionCode,
    pub(crate) unlock_spki: &'a [u8],
    /// The institution key of profile `jicsap`.
    pub(crate) jicsap_key: CardRsaKey,
}

fn accredit(
    authority: &Authority,
    institution: &InstitutionCode,
    institution_key: P256Point,
    now: UnixSeconds,
) -> anyhow::Result<TerminalChain> {
    let rights = Rights::PINLESS_SIGNATURE;
    let terminal = EacAccreditation { institution, institution_key, rights, days: CERTIFICATE_DAYS };
    Ok(authority.accredit_eac(terminal, now)?)
}

/// Makes it, and writes its image and its certificates into the town's folder.
pub(crate) fn make(
    dir: &Path,
    authority: &Authority,
    order: Order<'_>,
    now: UnixSeconds,
) -> anyhow::Result<()> {
    let jicsap_chain = authority.accredit(
        TerminalAccreditation {
            institution: order.institution,
            institution_key_modulus: order.jicsap_key.public_modulus(),
        },
        now,
    )?;
    let key = P256SigningKey::from_pkcs8(&generate_pkcs8()?)?;
    let chain = accredit(authority, order.institution, key.public_key(), now)?;
    let parts = Personalisation {
        secure_element: order.secure_element,
        unlock_key: UnlockPublicKey::from_spki_der(order.unlock_spki)?,
        jicsap: JicsapInstitution { key: order.jicsap_key, chain: jicsap_chain },
        eac: EacInstitution {
            key,
            chain: chain.clone(),
            terminal_root: authority.terminal_cvca()?.clone(),
            card_issuer: authority.card_cvca()?.clone(),
        },
    };
    custody::write_image(&dir.join(IMAGE_FILE), &parts, now)?;
    Ok(custody::write_chain(&dir.join(CHAIN_FILE), &chain)?)
}

/// Days left of a chain, today included, and days of its whole life. None are left when it has ended.
pub(crate) fn days_left(chain: &TerminalChain, today: CvcDate) -> (u32, u32) {
    let body = chain.terminal().body();
    let (from, to) = (body.effective.days(), body.expiration.days());
    ((to + 1).saturating_sub(today.days()), to + 1 - from)
}

/// Certifies the desk's key anew if less than half of its certificates' life is left. The desk takes them
/// up when it starts.
pub(crate) fn renew(
    dir: &Path,
    open_authority: impl FnOnce() -> anyhow::Result<Authority>,
    institution: &InstitutionCode,
    now: UnixSeconds,
) -> anyhow::Result<Option<CvcDate>> {
    let path = dir.join(CHAIN_FILE);
    let chain = custody::read_chain(&path)?
        .with_context(|| format!("{} is missing; remove the folder to start anew", path.display()))?;
    let (left, life) = days_left(&chain, CvcDate::at(now).context("a day of this century")?);
    if left * 2 >= life {
        return Ok(None);
    }
    let newer = accredit(&open_authority()?, institution, chain.terminal().body().key, now)?;
    custody::write_chain(&path, &newer)?;
    Ok(Some(newer.terminal().body().expiration))
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::dialogue::certificate_renewal::Renewal;
    use chassis::clock::SystemClock;
    use chassis::entropy::SystemEntropy;
    use jpki_authority::approval::desk::{ApprovalDesk, Founding};
    use pki::signer::{IssuerSigner as _, SoftwareP256Signer, generate_p256_pkcs8};
    use protocol::time::Clock as _;
    use std::path::PathBuf;
    use terminal::config::SecureElementConfig;

    const DAY: u64 = 86_400;

    /// A folder that goes away with its owner.
    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    fn authority_config(dir: &Path) -> jpki_authority::config::Config {
        let path = dir.join("authority.toml");
        std::fs::write(&path, include_str!("../../../../samples/jpki_authority.toml")).unwrap();
        jpki_authority::serve::load_config(&path).unwrap()
    }

    #[test]
    fn certificates_are_renewed_when_less_than_half_is_left_and_the_element_takes_them() {
        let folder = Folder(std::env::temp_dir().join(format!("kazasu-renewal-{}", std::process::id())));
        let dir = &folder.0;
        std::fs::create_dir_all(dir.join("terminal")).unwrap();
        let now = SystemClock.now();
        let authority = Authority::init(authority_config(dir), now, &mut SystemEntropy).unwrap();
        let institution = InstitutionCode::parse("9912345675").unwrap();
        let founding = Founding::Institution { code: institution, name: "見本".to_owned() };
        let desk = ApprovalDesk::open(authority.config(), &mut SystemEntropy).unwrap();
        desk.found(&founding, "test", now).unwrap();
        let unlock_key = SoftwareP256Signer::from_pkcs8(&generate_p256_pkcs8().unwrap()).unwrap();
        let order = Order {
            secure_element: SecureElementId([5; 8]),
            institution: &institution,
            unlock_spki: unlock_key.spki_der(),
            jicsap_key: CardRsaKey::generate().unwrap(),
        };
        make(dir, &authority, order, now).unwrap();
        drop(authority);
        let open = || Ok(Authority::open(authority_config(dir))?);
        let chain = || custody::read_chain(&dir.join(CHAIN_FILE)).unwrap().unwrap();
        let first = chain();
        let today = CvcDate::at(now).unwrap();
        assert_eq!(days_left(&first, today), (7, 7));
        // Four of seven days are more than half; three are not.
        assert_eq!(renew(dir, open, &institution, now.plus(3 * DAY)).unwrap(), None);
        assert_eq!(chain(), first);
        let until = renew(dir, open, &institution, now.plus(4 * DAY)).unwrap();
        assert_eq!(until, Some(today.plus_days(10)));
        assert_eq!(days_left(&chain(), today.plus_days(4)), (7, 7));
        assert_eq!(days_left(&first, today.plus_days(9)), (0, 7));
        // For the same key: the Secure Element, still in its old image, takes them when it is opened.
        let config = SecureElementConfig {
            image: dir.join(IMAGE_FILE),
            state: dir.join("terminal/state"),
            chain: Some(dir.join(CHAIN_FILE)),
        };
        let custody = custody::Custody::open(&config, Box::new(SystemEntropy)).unwrap();
        assert_eq!(custody.renew_certificates().unwrap(), Renewal::NotNewer, "taken already");
        std::fs::remove_file(dir.join(CHAIN_FILE)).unwrap();
        assert!(renew(dir, open, &institution, now).unwrap_err().to_string().contains("is missing"));
    }
}
