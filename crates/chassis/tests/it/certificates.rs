//! Certificates made by openssl, so that the chassis is not tested against itself.

use crate::scratch::Scratch;
use chassis::config::TlsFiles;
use std::path::PathBuf;
use std::process::Command;

const CONFIG: &str = "
[req]
distinguished_name = dn
[dn]
[ca]
default_ca = d
[d]
new_certs_dir = .
database = index.txt
rand_serial = yes
default_md = sha256
policy = p
unique_subject = no
[p]
commonName = supplied
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost,IP:127.0.0.1
[elsewhere]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:elsewhere.example
[client]
basicConstraints = CA:FALSE
extendedKeyUsage = clientAuth
";

pub(crate) const VALID: (&str, &str) = ("20200101000000Z", "20491231235959Z");
pub(crate) const EXPIRED: (&str, &str) = ("20200101000000Z", "20210101000000Z");

/// A folder of keys and certificates.
pub(crate) struct Desk(Scratch);

impl Desk {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        std::fs::write(scratch.join("openssl.cnf"), CONFIG).unwrap();
        std::fs::write(scratch.join("index.txt"), "").unwrap();
        Self(scratch)
    }

    /// A root `ca`, a `server` and a `terminal` under it.
    pub(crate) fn usual() -> Self {
        let desk = Self::new();
        desk.root("ca", "ca");
        desk.issue("ca", "server", "server", VALID);
        desk.issue("ca", "terminal", "client", VALID);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn files(&self, name: &str) -> TlsFiles {
        TlsFiles { cert: self.path(&format!("{name}.pem")), key: self.path(&format!("{name}.key")) }
    }

    pub(crate) fn openssl(&self, arguments: &str) -> String {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&*self.0)
            .stdin(std::process::Stdio::null())
            .output()
            .expect("openssl is installed");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "openssl {arguments}: {text}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A self-signed root in `file` with the name `subject`.
    pub(crate) fn root(&self, file: &str, subject: &str) {
        self.p256(file);
        self.openssl(&format!(
            "req -x509 -new -key {file}.key -subj /CN={subject} -days 3650 -config openssl.cnf -extensions root -out {file}.pem"
        ));
    }

    pub(crate) fn p256(&self, file: &str) {
        self.openssl(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {file}.key"));
    }

    /// A P-256 certificate of kind `extensions` under `ca`.
    pub(crate) fn issue(&self, ca: &str, file: &str, extensions: &str, dates: (&str, &str)) {
        self.p256(file);
        self.certify(ca, file, extensions, dates);
    }

    /// A certificate for the existing key of `file`.
    pub(crate) fn certify(&self, ca: &str, file: &str, extensions: &str, dates: (&str, &str)) {
        self.openssl(&format!(
            "req -new -key {file}.key -subj /CN={file} -config openssl.cnf -out {file}.csr"
        ));
        self.openssl(&format!(
            "ca -batch -config openssl.cnf -cert {ca}.pem -keyfile {ca}.key -in {file}.csr -out {file}.pem -notext -startdate {} -enddate {} -extensions {extensions}",
            dates.0, dates.1
        ));
    }
}
