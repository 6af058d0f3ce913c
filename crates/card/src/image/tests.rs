use super::*;

/// A layout with one application and this text about its objects.
fn with(objects: &str) -> Result<Layout, LayoutError> {
    Layout::parse(&format!(
        "format = 1\ncard = \"a card\"\natr = \"3B 00\"\n[[application]]\nname = \"one\"\naid = \"F0 00 00 00 01\"\ncommands = [\"files\"]\n{objects}"
    ))
}

fn problem(objects: &str) -> String {
    with(objects).unwrap_err().to_string()
}

const FREE: &str = "[[application.object]]\nfid = 1\nkind = \"binary\"\nslot = \"one\"\nread = \"free\"\n";

#[test]
fn built_in_layouts_parse() {
    let layout = crate::my_number_card::layout().unwrap();
    assert_eq!(layout.card, "My Number Card");
    let jpki = layout.applications.iter().find(|application| application.name == "JPKI-AP").unwrap();
    let object = |fid| jpki.objects.iter().find(|object| object.fid == fid).unwrap();
    assert!(object(0x000A).read.is_free());
    assert_eq!(object(0x0001).read, Rule::parse("secret 001B").unwrap());
    assert_eq!(object(0x0001).when_empty, WhenEmpty::LeaveOut);
    assert_eq!(object(0x001B).when_empty, WhenEmpty::Block);
    assert_eq!(object(0x001E).short, [0x1E]);
    assert!(matches!(object(0x0018).kind, Kind::Secret { tries: 3, .. }));
}

#[test]
fn the_secure_element_gives_out_no_key_and_no_certificate() {
    let layout = crate::secure_element::layout().unwrap();
    let [application] = layout.applications.as_slice() else { panic!("one application") };
    assert_eq!(application.aid.as_bytes(), crate::secure_element::SECURE_ELEMENT_AID);
    let readable: Vec<&str> = application
        .objects
        .iter()
        .filter(|object| object.read != Rule::never())
        .map(|object| object.name.as_str())
        .collect();
    assert_eq!(readable, ["identifier"]);
    let usable = Rule::parse("armed or offline").unwrap();
    for object in &application.objects {
        match &object.kind {
            Kind::RsaKey { usage } | Kind::P256Key { usage } => assert_eq!(*usage, usable),
            Kind::Binary | Kind::EacRoot => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_layout_in_parts() {
    let first = "format = 1\ncard = \"a card\"\natr = \"3B00\"\n";
    let application =
        |aid: &str| format!("format = 1\n[[application]]\nname = \"n\"\naid = \"{aid}\"\ncommands = []\n");
    let (one, two) = (application("F000000001"), application("F000000002"));
    let layout = Layout::from_parts(&[first, &one, &two]).unwrap();
    assert_eq!(layout.applications.iter().map(|a| a.aid.as_bytes()[4]).collect::<Vec<_>>(), [1, 2]);
    for bad in [&[first, &one, &one][..], &[first, first], &[&one], &[]] {
        assert!(matches!(Layout::from_parts(bad), Err(LayoutError::Content { .. })), "{bad:?}");
    }
    assert_eq!(Layout::from_parts(&[first, "format = 2"]), Err(LayoutError::Format(2)));
}

#[test]
fn what_is_not_a_layout_says_where_and_why() {
    for (bad, word) in [
        ("card = 1", "card"),
        ("[[application.object]]\nfid = 1\n", "kind"),
        (
            "[[application.object]]\nfid = 1\nkind = \"binary\"\nread = \"free\"\nslot = \"a\"\ncolour = 1\n",
            "colour",
        ),
        ("[[application.object]]\nfid = 70000\nkind = \"closed\"\n", "fid"),
    ] {
        let LayoutError::Syntax(said) = with(bad).unwrap_err() else { panic!("{bad}") };
        assert!(said.contains(word), "{said}");
    }
    let object = |fields: &str| format!("[[application.object]]\nfid = 0x0018\n{fields}\n");
    let secret = "kind = \"secret\"\nslot = \"pin\"\nform = \"digits 4\"\ntries = 3\nchange = \"never\"";
    for (fields, said) in [
        ("kind = \"file\"", "one, object 0018: no kind \"file\""),
        ("kind = \"binary\"\nslot = \"a\"", "one, object 0018: `read` is missing for kind \"binary\""),
        ("kind = \"closed\"\nread = \"free\"", "one, object 0018: `read` does not go with kind \"closed\""),
        (
            "kind = \"binary\"\nslot = \"a\"\nread = \"often\"",
            "one, object 0018: \"often\" is not an access rule",
        ),
        ("kind = \"binary\"\nread = \"free\"", "one, object 0018: either `slot` or `value`"),
        (
            "kind = \"binary\"\nread = \"free\"\nslot = \"a\"\nvalue = \"00\"",
            "one, object 0018: either `slot` or `value`",
        ),
        ("kind = \"closed\"\nslot = \"a\"", "one, object 0018: a closed file has no content"),
        (
            "kind = \"binary\"\nread = \"free\"\nvalue = \"0\"",
            "one, object 0018: value: hexadecimal; a list of records for kind \"records\"",
        ),
        (
            "kind = \"binary\"\nread = \"free\"\nvalue = [\"00\"]",
            "one, object 0018: value: hexadecimal; a list of records for kind \"records\"",
        ),
        (
            "kind = \"binary\"\nread = \"free\"\nvalue = \"00\"\noptional = true",
            "one, object 0018: only a slot can be empty",
        ),
        (
            "kind = \"binary\"\nread = \"free\"\nslot = \"a\"\nblocked_when_empty = true",
            "one, object 0018: optional, or a secret that is blocked when empty",
        ),
        (
            "kind = \"binary\"\nread = \"secret 0019\"\nslot = \"a\"",
            "one, object 0018: 0019 is not a secret of this application",
        ),
        (
            "kind = \"rsa-key\"\nuse = \"secret 0018\"\nslot = \"a\"",
            "one, object 0018: 0018 is not a secret of this application",
        ),
        (
            "kind = \"records\"\nread = \"free\"\nwrite = \"free\"\nslot = \"a\"",
            "one, object 0018: `write` does not go with kind \"records\"",
        ),
        (
            "kind = \"binary\"\nread = \"free\"\nwrite = \"secret 0019\"\nslot = \"a\"",
            "one, object 0018: 0019 is not a secret of this application",
        ),
        (
            "kind = \"p256-key\"\nread = \"free\"\nuse = \"free\"\nslot = \"a\"",
            "one, object 0018: `read` does not go with kind \"p256-key\"",
        ),
        ("kind = \"closed\"\nshort = 31", "one, object 0018: short identifiers are 1 to 30"),
        (&secret.replace("digits 4", "digits"), "one, object 0018: \"digits\" is not a form of a secret"),
        (&secret.replace("tries = 3", "tries = 0"), "one, object 0018: 1 to 15 tries"),
        (&secret.replace("tries = 3", "tries = 16"), "one, object 0018: 1 to 15 tries"),
    ] {
        assert_eq!(problem(&object(fields)), said);
    }
    assert_eq!(
        problem(&object("kind = \"closed\"").replace("0x0018", "0x3F00")),
        "one, object 3F00: a reserved file identifier"
    );
    let twice = object("kind = \"closed\"").repeat(2);
    assert_eq!(problem(&twice), "one, object 0018: stands here a second time");
    let same_short = format!("{FREE}{}", FREE.replace("fid = 1", "fid = 256\nshort = [2, 1]"));
    assert_eq!(problem(&same_short), "one, object 0100: has a short identifier of 0001");
    let many: String =
        (0..65).map(|n| object("kind = \"closed\"").replace("0x0018", &(0x100 + n).to_string())).collect();
    assert_eq!(problem(&many), "one: more than 64 objects");
    let text = "format = 1\ncard = \"c\"\natr = \"3B00\"\n[[application]]\nname = \"one\"\naid = \"F0\"\ncommands = []\n";
    assert_eq!(Layout::parse(text).unwrap_err().to_string(), "one: aid: 5 to 16 octets in hexadecimal");
    let text = text.replace("\"F0\"", "\"F000000001\"").replace("[]\n", "[\"dance\"]\n");
    assert_eq!(Layout::parse(&text).unwrap_err().to_string(), "one: no command set \"dance\"");
    assert_eq!(
        Layout::parse("format = 1\ncard = \"c\"").unwrap_err().to_string(),
        "atr: 2 to 33 octets in hexadecimal"
    );
}

#[test]
fn slots_are_filled_once_and_all() {
    let layout = with(FREE).unwrap();
    assert!(CardImage::new(&layout, &Contents::new().with("one", [1])).is_ok());
    let refused = |contents| CardImage::new(&layout, &contents).map(|_| ()).unwrap_err();
    assert_eq!(refused(Contents::new()), ImageError::Empty("one".to_owned()));
    assert_eq!(
        refused(Contents::new().with("one", [1]).with("two", [2])),
        ImageError::Unknown("two".to_owned())
    );
    let contents = Contents::new().with("one", *b"secret!!");
    assert_eq!(format!("{contents:?}"), "{\"one\"}");
}

#[test]
fn contents_must_have_their_kind() {
    for (kind, bad) in [
        ("kind = \"secret\"\nform = \"digits 4\"\ntries = 3\nchange = \"never\"", &b"12a4"[..]),
        ("kind = \"rsa-key\"\nuse = \"free\"", b"no key"),
        ("kind = \"terminal-root\"", &[0; 272]),
        ("kind = \"records\"\nread = \"free\"", &[2, 1]),
        ("kind = \"records\"\nread = \"free\"", &[0]),
    ] {
        let layout = with(&format!("[[application.object]]\nfid = 5\nslot = \"s\"\n{kind}\n")).unwrap();
        let error = CardImage::new(&layout, &Contents::new().with("s", bad)).unwrap_err();
        assert_eq!(error, ImageError::Form("s".to_owned()), "{kind}");
    }
    let layout = with("[[application.object]]\nfid = 5\nkind = \"secret\"\nvalue = \"31\"\nform = \"digits 4\"\ntries = 3\nchange = \"never\"\n").unwrap();
    let error = CardImage::new(&layout, &Contents::new()).unwrap_err();
    assert_eq!(error, ImageError::Form("object 0005".to_owned()));
}

#[test]
fn records_are_joined_and_split() {
    let joined = join_records([&[1, 2][..], &[3]]).unwrap();
    assert_eq!(joined, [2, 1, 2, 1, 3]);
    let split = split_records(&joined).unwrap();
    assert_eq!(split.iter().map(|record| record.as_slice()).collect::<Vec<_>>(), [&[1, 2][..], &[3]]);
    assert!(join_records([&[][..]]).is_none() && join_records([&[0; 255][..]]).is_none());
    assert!(join_records([&[0][..]; 255]).is_none());
    let layout = with(
        "[[application.object]]\nfid = 5\nkind = \"records\"\nvalue = [\"01 02\", \"03\"]\nread = \"free\"\n",
    );
    let image = CardImage::new(&layout.unwrap(), &Contents::new()).unwrap();
    assert!(
        matches!(&image.applications()[0].object(5).unwrap().content, Content::Records(r) if r.len() == 2)
    );
}

#[test]
fn files_under_the_master_file_are_free_or_not_there() {
    let master = |object: &str| {
        let text = format!("format = 1\ncard = \"c\"\natr = \"3B00\"\n{object}");
        Layout::parse(&text.replace("[[application.object]]", "[[master_file.object]]"))
    };
    let layout = master(&format!("{FREE}optional = true\n")).unwrap();
    assert_eq!(layout.master_file.len(), 1);
    assert!(CardImage::new(&layout, &Contents::new()).unwrap().master_file().is_empty());
    let image = CardImage::new(&layout, &Contents::new().with("one", *b"EF.DIR")).unwrap();
    assert!(
        matches!(&image.master_file()[0].content, Content::Binary(octets) if octets.as_slice() == b"EF.DIR")
    );
    for (bad, said) in [
        (FREE.replace("free", "never"), "only files that are free to read stand under the master file"),
        (
            "[[application.object]]\nfid = 1\nkind = \"closed\"\n".to_owned(),
            "only files that are free to read stand under the master file",
        ),
        (FREE.repeat(2), "stands here a second time"),
    ] {
        assert_eq!(master(&bad).unwrap_err().to_string(), format!("master file, object 0001: {said}"));
    }
    assert!(matches!(master("[master_file]\ncolour = 1"), Err(LayoutError::Syntax(_))));
}

#[test]
fn a_secret_that_opens_one_use_must_be_there_too() {
    let key =
        "[[application.object]]\nfid = 2\nkind = \"rsa-key\"\nslot = \"k\"\nuse = \"secret 0018 once\"\n";
    assert_eq!(problem(key), "one, object 0002: 0018 is not a secret of this application");
}

#[test]
fn data_objects_are_filled_and_named() {
    let head = "format = 1\ncard = \"a card\"\natr = \"3B 00\"\n";
    let object = |fields: &str| format!("[[data_object]]\ntag = 0x0045\nname = \"number\"\n{fields}\n");
    let parse = |objects: &str| Layout::parse(&format!("{head}{objects}"));
    let layout = parse(&object("level = \"any\"\nslot = \"n\"")).unwrap();
    assert_eq!(CardImage::new(&layout, &Contents::new()).err(), Some(ImageError::Empty("n".to_owned())));
    let image = CardImage::new(&layout, &Contents::new().with("n", *b"42")).unwrap();
    assert_eq!(image.data_objects()[0].octets(), b"42");
    assert!(!format!("{:?}", image.data_objects()).contains("52"), "no octets in Debug");
    let layout = parse(&object("level = \"master file\"\nslot = \"n\"\noptional = true")).unwrap();
    assert!(CardImage::new(&layout, &Contents::new()).unwrap().data_objects().is_empty());
    let layout = parse(&object("level = \"any\"\nvalue = \"01 02\"")).unwrap();
    assert_eq!(CardImage::new(&layout, &Contents::new()).unwrap().data_objects()[0].octets(), [1, 2]);
    let twice = object("level = \"any\"\nvalue = \"01\"").repeat(2);
    for (bad, said) in [
        (object("level = \"some\"\nslot = \"n\""), "level"),
        (object("level = \"any\""), "slot"),
        (object("level = \"any\"\nslot = \"\""), "slot"),
        (object("level = \"any\"\nslot = \"n\"\nvalue = \"01\""), "slot"),
        (object("level = \"any\"\nvalue = \"01\"\noptional = true"), "slot"),
        (object("level = \"any\"\nvalue = \"0\""), "hexadecimal"),
        (twice, "same tag"),
    ] {
        let error = parse(&bad).unwrap_err().to_string();
        assert!(error.starts_with("number: ") && error.contains(said), "{error}");
    }
}
