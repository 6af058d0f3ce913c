//! The Secure Element's memory: no counter value twice, whatever happens to the process.

use crate::eac_parties::EacParties;
use crate::town::{Estate, SLOW, Town, now};
use card::cvc::{CvcAuthority, CvcChain, KeyReference, issue};
use card::dialogue::certificate_renewal::Renewal;
use card::rsa_key::CardRsaKey;
use card::secure_element::{JicsapInstitution, PersistentState, Personalisation, UnlockPublicKey};
use chassis::entropy::SystemEntropy;
use protocol::ids::SecureElementId;
use protocol::statement::TouchStatement;
use terminal::custody::{Custody, CustodyError, read_chain, write_chain, write_image};

fn counters(checks: &[Vec<u8>]) -> Vec<u64> {
    let statement = |body: &Vec<u8>| {
        let request: protocol::eligibility_v1::CheckRequest = serde_json::from_slice(body).unwrap();
        TouchStatement::parse(&request.statement).unwrap().counter
    };
    checks.iter().map(statement).collect()
}

fn on_disk(estate: &Estate) -> PersistentState {
    PersistentState::from_bytes(&std::fs::read(&estate.state).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_the_counter_goes_on_behind_everything_given_out() {
    let town = Town::open(SLOW).await;
    for _ in 0..2 {
        let (report, placed) = town.touch().await;
        assert!(report.answer().is_some());
        placed.take();
    }
    let before = counters(&town.stub.with(|seen| seen.checks.clone()));
    assert_eq!(before, [1, 2]);
    assert_eq!(on_disk(&town.estate).counter(), 2);
    let Town { desk, stub, estate, .. } = town;
    desk.close().await;
    drop(desk);
    // The power cut: a new process finds the files as they are. The old one lets go of the lock at its end.
    let copy = Estate { state: estate.folder.0.join("copy.state"), ..estate };
    std::fs::copy(copy.folder.0.join("se.state"), &copy.state).unwrap();
    let town = Town::open_with(copy, stub, SLOW);
    let (report, _placed) = town.touch().await;
    assert!(report.answer().is_some(), "{:?}", report.problem());
    let after = counters(&town.stub.with(|seen| seen.checks.clone()));
    assert_eq!(after, [1, 2, 3]);
    assert_eq!(on_disk(&town.estate).counter(), 3);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_gives_no_card_its_touches_back() {
    let estate = Estate::new();
    let stub = estate.stub().await;
    stub.with(|seen| seen.touches_per_card_and_day = 1);
    let town = Town::open_with(estate, stub, SLOW);
    let (report, placed) = town.touch().await;
    assert!(report.answer().is_some(), "{:?}", report.problem());
    placed.take();
    let Town { desk, stub, estate, .. } = town;
    desk.close().await;
    drop(desk);
    let copy = Estate { state: estate.folder.0.join("copy.state"), ..estate };
    std::fs::copy(copy.folder.0.join("se.state"), &copy.state).unwrap();
    let town = Town::open_with(copy, stub, SLOW);
    let (report, _placed) = town.touch().await;
    assert_eq!(report.problem().unwrap().code, protocol::problem::ProblemCode::CardTouchesUsedUp);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_does_not_leave() {
    let town = Town::open(SLOW).await;
    town.until_idle().await;
    // A folder in the state's place cannot be replaced by a file.
    std::fs::remove_file(&town.estate.state).unwrap();
    std::fs::create_dir(&town.estate.state).unwrap();
    let (report, placed) = town.touch().await;
    let problem = report.problem().unwrap();
    assert_eq!(problem.code, protocol::problem::ProblemCode::SecureElementRefused);
    assert_eq!((report.card_signatures, report.network_round_trips), (0, 0));
    assert_eq!(town.estate.card.signatures(), 0);
    placed.take();
    town.close().await;
}

#[test]
fn one_secure_element_has_one_holder() {
    let estate = Estate::new();
    let first = estate.custody();
    let second = Custody::open(&estate.secure_element(), Box::new(SystemEntropy));
    assert!(matches!(second, Err(CustodyError::InUse { .. })));
    drop(first);
    estate.custody();
}

#[test]
fn broken_files_are_refused_and_named() {
    let estate = Estate::new();
    drop(estate.custody());
    let open = || Custody::open(&estate.secure_element(), Box::new(SystemEntropy)).map(drop);
    let state = std::fs::read(&estate.state).unwrap();
    std::fs::write(&estate.state, &state[..state.len() - 1]).unwrap();
    assert!(matches!(open(), Err(CustodyError::State { path, .. }) if path == estate.state));
    // The state of a terminal that was set up before touches were counted.
    std::fs::write(&estate.state, [&b"KZSE\x01"[..], &[0; 16]].concat()).unwrap();
    assert!(open().unwrap_err().to_string().contains("another version"));
    std::fs::write(&estate.state, &state).unwrap();
    open().unwrap();
    let image = std::fs::read_to_string(&estate.image).unwrap();
    for (from, to) in [
        ("\"version\": 2", "\"version\": 1"),
        ("\"unlock.key\": \"", "\"unlock.key\": \"AAAA"),
        ("\"jicsap.chain\": \"", "\"jicsap.chain\": \"AAAA"),
        ("\"eac.chain\": \"", "\"eac.chain\": \"AAAA"),
        ("\"identifier\"", "\"surprise\""),
        ("{", "{\"surprise\": 1,"),
        ("}", ""),
    ] {
        assert!(image.contains(from));
        std::fs::write(&estate.image, image.replacen(from, to, 1)).unwrap();
        let refused = open();
        assert!(
            matches!(&refused, Err(CustodyError::Image { path, .. }) if *path == estate.image),
            "{from}: {refused:?}"
        );
    }
    std::fs::remove_file(&estate.image).unwrap();
    assert!(matches!(open(), Err(CustodyError::Unreadable { path, .. }) if path == estate.image));
}

#[test]
fn an_image_whose_parts_do_not_fit_is_not_even_written() {
    let estate = Estate::new();
    let path = estate.folder.0.join("bad.json");
    let key = CardRsaKey::generate().unwrap();
    let authority = CvcAuthority::new(KeyReference::numbered(7_000_009, 1).unwrap(), key);
    let link = issue(&authority, authority.public_key().unwrap()).unwrap();
    let parts = Personalisation {
        secure_element: SecureElementId(*b"SE000002"),
        unlock_key: UnlockPublicKey::from_spki_der(
            pki::signer::software_signer(&estate.unlock_pkcs8).unwrap().spki_der(),
        )
        .unwrap(),
        // Another key than the one in the certificate.
        jicsap: JicsapInstitution {
            key: CardRsaKey::generate().unwrap(),
            chain: CvcChain { intermediate: link.clone(), leaf: link },
        },
        eac: estate.eac.institution(),
    };
    assert!(matches!(write_image(&path, &parts, now()), Err(CustodyError::Image { .. })));
    assert!(!path.exists());
}

#[test]
fn newer_certificates_go_in_at_the_start_and_once() {
    let estate = Estate::new();
    drop(estate.custody());
    let chain_file = estate.folder.0.join("se.chain");
    let held = || on_disk(&estate);
    let first = held();
    // What it has already is not taken again; what is newer is, and stays after the file is gone.
    write_chain(&chain_file, &estate.eac.chain(7)).unwrap();
    drop(estate.custody());
    assert_eq!(held(), first);
    write_chain(&chain_file, &estate.eac.chain(14)).unwrap();
    assert_eq!(read_chain(&chain_file).unwrap().unwrap().certificates().count(), 2);
    let custody = estate.custody();
    let second = held();
    assert_ne!(second, first);
    assert_eq!(custody.renew_certificates().unwrap(), Renewal::NotNewer);
    std::fs::remove_file(&chain_file).unwrap();
    assert_eq!(custody.renew_certificates().unwrap(), Renewal::NotNewer);
    // Certificates of somebody else, or none at all: named, and no reason not to start.
    for bytes in [EacParties::new().chain(21).encode(), b"nonsense".to_vec()] {
        std::fs::write(&chain_file, bytes).unwrap();
        let refused = custody.renew_certificates();
        assert!(
            matches!(&refused, Err(CustodyError::Chain { path, .. }) if *path == chain_file),
            "{refused:?}"
        );
    }
    drop(custody);
    drop(estate.custody());
    assert_eq!(held(), second);
}

#[test]
fn the_image_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let estate = Estate::new();
    drop(estate.custody());
    let chain = estate.folder.0.join("se.chain");
    write_chain(&chain, &estate.eac.chain(7)).unwrap();
    for path in [&estate.image, &estate.state, &chain] {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}
