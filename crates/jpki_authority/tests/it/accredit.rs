use crate::town::{Folder, NOW, authority};
use card::cvc::{CvcChain, CvcError};
use card::rsa_key::CardRsaKey;
use jpki_authority::Authority;
use jpki_authority::accredit::TerminalAccreditation;
use jpki_authority::error::AuthorityError;
use protocol::ids::InstitutionCode;

#[test]
fn a_terminals_chain_leads_to_the_root_that_cards_hold() {
    let folder = Folder::new();
    let first = authority(&folder);
    let institution = InstitutionCode::parse("1310000001").unwrap();
    let secure_element = CardRsaKey::generate().unwrap();
    let terminal = TerminalAccreditation {
        institution: &institution,
        institution_key_modulus: secure_element.public_modulus(),
    };
    let chain = first.accredit(terminal, NOW).unwrap();
    let leaf = chain.verify(first.terminal_root()).unwrap();
    assert_eq!(leaf.modulus().as_slice(), secure_element.public_modulus());
    assert_eq!(CvcChain::parse(&chain.encode()).unwrap(), chain);

    // The same key again gets another name, also after a restart; the root stays.
    let root = first.terminal_root().clone();
    drop(first);
    let second = Authority::open(folder.config()).unwrap();
    assert_eq!(*second.terminal_root(), root);
    let again = second.accredit(terminal, NOW).unwrap();
    assert_ne!(again.leaf.body().subject.reference(), leaf.reference());
    again.verify(&root).unwrap();

    // Under the root of another authority the chain does not hold.
    let elsewhere = Folder::new();
    let foreign = authority(&elsewhere);
    assert_eq!(chain.verify(foreign.terminal_root()).err(), Some(CvcError::Signature));
}

#[test]
fn a_modulus_of_another_size_is_refused() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let institution = InstitutionCode::parse("1310000001").unwrap();
    for modulus in [&[0xFF_u8; 255][..], &[0xFF; 257], &[0x7F; 256], &[]] {
        let terminal = TerminalAccreditation { institution: &institution, institution_key_modulus: modulus };
        let refused = authority.accredit(terminal, NOW);
        assert!(matches!(refused, Err(AuthorityError::TerminalChain(CvcError::PublicKey))));
    }
}
