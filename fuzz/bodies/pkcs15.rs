//! Files of ISO/IEC 7816-15: what was read can be written, and what was written can be read. (The octets may
//! differ: some parts are passed over on reading, and some values have more than one reading.)

use card::pkcs15::{
    ApplicationTemplate, AuthenticationObject, CertificateObject, CiaInfo, ObjectDirectory, PrivateKeyObject,
    entries,
};

macro_rules! written_again {
    ($data:expr, $entry:ident, $object:pat => $written:expr) => {
        for entry in entries::<$entry<'_>>($data) {
            let Ok($object) = entry else {
                break;
            };
            let first: Vec<u8> = $written;
            match entries::<$entry<'_>>(&first).next() {
                Some(Ok($object)) => drop::<Vec<u8>>($written),
                _ => panic!("what was written cannot be read: {first:02X?}"),
            }
        }
    };
}

pub(super) fn run(data: &[u8]) {
    if let Ok(info) = CiaInfo::parse(data) {
        assert_eq!(CiaInfo::parse(&info.encode()), Ok(info));
    }
    written_again!(data, ApplicationTemplate, template => template.encode());
    written_again!(data, ObjectDirectory, directory => directory.encode());
    written_again!(data, AuthenticationObject, AuthenticationObject::Password(password) => password.encode());
    written_again!(data, PrivateKeyObject, PrivateKeyObject::Rsa(key) => key.encode());
    written_again!(data, CertificateObject, CertificateObject::X509(certificate) => certificate.encode());
}
