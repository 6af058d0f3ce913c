use super::*;
use crate::asn1::read::Reader;
use crate::asn1::write;

/// `(form, base octets)`, permitted and excluded.
fn subtrees(
    permitted: &[(NameForm, &[u8])],
    excluded: &[(NameForm, &[u8])],
) -> Result<Subtrees, NameConstraintFault> {
    let list = |number: u8, bases: &[(NameForm, &[u8])]| {
        let entries: Vec<_> =
            bases.iter().map(|(form, base)| write::sequence(&[&general(*form, base)])).collect();
        if entries.is_empty() { Vec::new() } else { write::explicit(number, &entries.concat()) }
    };
    let der = write::sequence(&[&list(0, permitted), &list(1, excluded)]);
    Subtrees::read(&Reader::new(&der).any("x").unwrap())
}

fn general(form: NameForm, value: &[u8]) -> Vec<u8> {
    let number = match form {
        NameForm::Other => return write::explicit(0, value),
        NameForm::Directory => return write::explicit(4, value),
        NameForm::Rfc822 => 1,
        NameForm::Dns => 2,
        NameForm::Uri => 6,
        _ => 7,
    };
    write::tlv(tag::context(number), value)
}

fn judge(
    form: NameForm,
    permitted: &[&str],
    excluded: &[&str],
    name: &str,
) -> Result<(), NameConstraintFault> {
    let of =
        |bases: &[&str]| bases.iter().map(|base| (form, base.to_string().into_bytes())).collect::<Vec<_>>();
    let (permitted, excluded) = (of(permitted), of(excluded));
    let borrow =
        |bases: &[(NameForm, Vec<u8>)]| bases.iter().map(|(f, b)| (*f, b.clone())).collect::<Vec<_>>();
    let (p, e) = (borrow(&permitted), borrow(&excluded));
    let p: Vec<(NameForm, &[u8])> = p.iter().map(|(f, b)| (*f, b.as_slice())).collect();
    let e: Vec<(NameForm, &[u8])> = e.iter().map(|(f, b)| (*f, b.as_slice())).collect();
    let mut state = NameState::default();
    state.add(Cow::Owned(subtrees(&p, &e)?));
    match state.check_name(form, name.as_bytes(), 1_000) {
        Ok(()) => Ok(()),
        Err(Fault::Names(fault)) => Err(fault),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn host_names() {
    use NameForm::Dns;
    let permitted = |base: &str, name: &str| judge(Dns, &[base], &[], name);
    let outside = Err(NameConstraintFault::NotPermitted { form: Dns });
    for name in ["host.example", "HOST.example", "a.host.example", "a.b.host.example", "*.host.example"] {
        assert_eq!(permitted("host.example", name), Ok(()), "{name}");
    }
    for name in ["example", "xhost.example", "host.example.org", "*.example"] {
        assert_eq!(permitted("host.example", name), outside, "{name}");
    }
    for name in [".host.example", "host..example", "host.example.", "*host.example", "a b", ""] {
        assert_eq!(
            permitted("host.example", name),
            Err(NameConstraintFault::Unreadable { form: Dns }),
            "{name}"
        );
    }
    assert_eq!(permitted("", "any.host"), Ok(()));
    for name in ["a.host.example", "a.b.HOST.example", "*.host.example", "*.a.host.example"] {
        assert_eq!(permitted(".host.example", name), Ok(()), "{name}");
    }
    for name in ["host.example", "xhost.example", "*.example"] {
        assert_eq!(permitted(".host.example", name), outside, "{name}");
    }
    for base in ["..host.example", ".", "*.host.example", "host.example.", "ho st"] {
        assert!(matches!(permitted(base, "a"), Err(NameConstraintFault::Malformed(_))), "{base}");
    }
    let excluded = |base: &str, name: &str| judge(Dns, &[], &[base], name);
    let inside = Err(NameConstraintFault::Excluded { form: Dns });
    assert_eq!(excluded("a.example", "b.example"), Ok(()));
    assert_eq!(excluded("a.example", "x.a.example"), inside);
    // `*.example` would let its holder be a.example.
    assert_eq!(excluded("a.example", "*.example"), inside);
    assert_eq!(excluded("b.a.example", "*.example"), Ok(()));
    assert_eq!(excluded("", "anything"), inside);
}

#[test]
fn mailboxes() {
    use NameForm::Rfc822;
    let permitted = |base: &str, name: &str| judge(Rfc822, &[base], &[], name);
    let outside = Err(NameConstraintFault::NotPermitted { form: Rfc822 });
    assert_eq!(permitted("a@host.example", "a@HOST.example"), Ok(()));
    assert_eq!(permitted("a@host.example", "A@host.example"), outside);
    assert_eq!(permitted("*@host.example", "*@host.example"), Ok(()));
    assert_eq!(permitted("*@host.example", "a@host.example"), outside);
    assert_eq!(permitted("host.example", "anyone@host.example"), Ok(()));
    assert_eq!(permitted("host.example", "anyone@sub.host.example"), outside);
    assert_eq!(permitted(".host.example", "anyone@sub.host.example"), Ok(()));
    assert_eq!(permitted(".host.example", "anyone@host.example"), outside);
    assert_eq!(permitted("host.example", "\"a@b\"@host.example"), Ok(()));
    assert_eq!(permitted("foo@host.example", "\"\\f\\oo\"@host.example"), Ok(()));
    assert_eq!(permitted("\"foo\"@host.example", "foo@host.example"), Ok(()));
    assert_eq!(permitted("foo@host.example", "\"fo\"@host.example"), outside);
    for name in [
        "a@b@host.example",
        "host.example",
        "@host.example",
        "a@",
        "\"a\"b\"@host.example",
        "\"a\\\"@host.example",
        "a@[192.0.2.1]",
    ] {
        let unreadable = Err(NameConstraintFault::Unreadable { form: Rfc822 });
        assert_eq!(permitted("host.example", name), unreadable, "{name}");
    }
    assert!(matches!(permitted("a@b@host.example", "x@y"), Err(NameConstraintFault::Malformed(_))));
}

#[test]
fn addresses_of_the_web() {
    use NameForm::Uri;
    let permitted = |base: &str, name: &str| judge(Uri, &[base], &[], name);
    let outside = Err(NameConstraintFault::NotPermitted { form: Uri });
    for name in ["http://host.example/x", "ldap://u:p@HOST.example:389?x", "https://host.example#y"] {
        assert_eq!(permitted("host.example", name), Ok(()), "{name}");
    }
    assert_eq!(permitted("host.example", "http://sub.host.example/"), outside);
    assert_eq!(permitted(".host.example", "http://sub.host.example/"), Ok(()));
    assert_eq!(permitted(".host.example", "http://host.example/"), outside);
    for name in
        ["urn:x:host.example", "http://192.0.2.1/", "http://[::1]/", "//host.example", "http:///x", "x"]
    {
        let unreadable = Err(NameConstraintFault::Unreadable { form: Uri });
        assert_eq!(permitted("host.example", name), unreadable, "{name}");
    }
}

#[test]
fn networks() {
    use NameForm::IpAddress;
    let judge = |network: &[u8], address: &[u8]| {
        let mut state = NameState::default();
        state.add(Cow::Owned(subtrees(&[(IpAddress, network)], &[])?));
        match state.check_name(IpAddress, address, 1_000) {
            Err(Fault::Names(fault)) => Err(fault),
            _ => Ok(()),
        }
    };
    let outside = Err(NameConstraintFault::NotPermitted { form: IpAddress });
    let network = [192, 0, 2, 77, 255, 255, 255, 0];
    assert_eq!(judge(&network, &[192, 0, 2, 1]), Ok(()));
    assert_eq!(judge(&network, &[192, 0, 3, 1]), outside);
    // The other family is another form of the same name: not permitted.
    assert_eq!(judge(&network, &[0; 16]), outside);
    assert_eq!(judge(&[[0x20; 16], [0xFF; 16]].concat(), &[0x20; 16]), Ok(()));
    assert_eq!(judge(&[10, 0, 0, 0, 255, 0, 0, 0], &[10, 9, 9, 9]), Ok(()));
    for bad in
        [&[192, 0, 2, 0, 255, 0, 255, 0][..], &[1, 2, 3, 4], &[0; 33], &[192, 0, 2, 0, 255, 255, 255, 5]]
    {
        assert!(matches!(judge(bad, &[1, 2, 3, 4]), Err(NameConstraintFault::Malformed(_))), "{bad:?}");
    }
}

#[test]
fn levels_intersect_and_forms_without_a_rule_are_refused_only_when_they_come() {
    let level = |base: &str| Cow::Owned(subtrees(&[(NameForm::Dns, base.as_bytes())], &[]).unwrap());
    let mut state = NameState::default();
    state.add(level("example"));
    state.add(level("a.example"));
    assert!(state.check_name(NameForm::Dns, b"x.a.example", 100).is_ok());
    let outside = NameConstraintFault::NotPermitted { form: NameForm::Dns };
    assert_eq!(state.check_name(NameForm::Dns, b"b.example", 100), Err(outside.into()));
    assert!(state.check_name(NameForm::Uri, b"not judged", 100).is_ok());
    let other = write::sequence(&[&[6, 1, 0x2A], &write::explicit(0, &[tag::NULL, 0])]);
    let inner = &other[2..];
    state.add(Cow::Owned(subtrees(&[], &[(NameForm::Other, inner)]).unwrap()));
    assert!(state.check_name(NameForm::Dns, b"x.a.example", 100).is_ok());
    let unsupported = NameConstraintFault::Unsupported { form: NameForm::Other };
    assert_eq!(state.check_name(NameForm::Other, inner, 100), Err(unsupported.into()));
}

#[test]
fn comparisons_are_counted() {
    let bases: Vec<_> = (0..100).map(|number| format!("host{number}.example")).collect();
    let bases: Vec<(NameForm, &[u8])> = bases.iter().map(|base| (NameForm::Dns, base.as_bytes())).collect();
    let mut state = NameState::default();
    state.add(Cow::Owned(subtrees(&bases, &[]).unwrap()));
    for _ in 0..10 {
        assert!(state.check_name(NameForm::Dns, b"host7.example", 1_000).is_ok());
    }
    let limit = Fault::WorkLimit { work: Work::NameComparisons, limit: 1_000 };
    assert_eq!(state.check_name(NameForm::Dns, b"host7.example", 1_000), Err(limit));
}

#[test]
fn odd_constraints_are_malformed_or_unsupported() {
    assert!(matches!(subtrees(&[], &[]), Err(NameConstraintFault::Malformed(_))));
    let entry = write::sequence(&[&general(NameForm::Dns, b"example"), &write::tlv(tag::context(0), &[1])]);
    let der = write::sequence(&[&write::explicit(0, &entry)]);
    let mut state = NameState::default();
    state.add(Cow::Owned(Subtrees::read(&Reader::new(&der).any("x").unwrap()).unwrap()));
    let unsupported = NameConstraintFault::Unsupported { form: NameForm::Dns };
    assert_eq!(state.check_name(NameForm::Dns, b"a.example", 100), Err(unsupported.into()));
}
