//! Power-on (report fig. 2, left): the platform arms a terminal's Secure Element for a bounded time.

use crate::error::Refusal;
use crate::hashes::sha256;
use crate::platform::Platform;
use protocol::eligibility_v1::{NonceResponse, UnlockRequest, UnlockResponse};
use protocol::ids::SecureElementId;
use protocol::unlock::UnlockPolicy;

/// Signs an unlock policy for the Secure Element registered with this terminal.
pub fn unlock(
    platform: &Platform,
    key_hash: [u8; 32],
    request: &UnlockRequest,
) -> Result<UnlockResponse, Refusal> {
    let known = platform.terminal(key_hash)?;
    let terminal = &known.registered;
    if terminal.secure_element != SecureElementId(request.secure_element) {
        return Err(Refusal::SecureElementUnknown);
    }
    let now = platform.clock.now();
    let policy = UnlockPolicy {
        secure_element: terminal.secure_element,
        challenge: request.challenge,
        terminal_key_hash: terminal.terminal_key_hash,
        issued_at: now,
        not_after: now.plus(platform.unlock.validity_seconds),
        uses_max: platform.unlock.uses_max,
        evidence_key: *platform.evidence_public_key(),
        // Whoever carried this key here may have put another one in its place: then the Secure Element
        // will not find its own in the policy, and refuse.
        secure_element_key_hash: sha256(&request.evidence_key.0),
        profiles: platform.unlock.card_profiles,
        touches_per_card_and_day: platform.unlock.touches_per_card_and_day,
    };
    let signature = platform.keys.sign_unlock(&policy.signed_bytes()).ok_or(Refusal::OwnKey)?;
    metrics::counter!("kazasu_unlocks_total").increment(1);
    Ok(UnlockResponse {
        policy: policy.encode(),
        signature,
        next_nonce: platform.next_nonce(&terminal.terminal_key_hash),
        institution_name: terminal.institution_name.clone(),
        institution_code: terminal.institution.as_str().to_owned(),
        server_time: now.0,
    })
}

/// A nonce for a terminal that has none.
pub fn nonce(platform: &Platform, key_hash: [u8; 32]) -> Result<NonceResponse, Refusal> {
    let known = platform.terminal(key_hash)?;
    Ok(NonceResponse {
        next_nonce: platform.next_nonce(&known.registered.terminal_key_hash),
        validity_seconds: platform.freshness.nonce_validity_seconds,
    })
}
