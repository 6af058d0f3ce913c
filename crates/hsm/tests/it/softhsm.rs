//! A token of SoftHSM2 for one test. The library takes its folder from the environment, and an environment
//! belongs to a process: so the test runs itself once more as a child with an environment of its own.

use hsm::{Pkcs11Key, Pkcs11Token};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user PIN of every test token.
pub(crate) const PIN: &str = "2468-test-pin";
/// The label of every test token.
pub(crate) const TOKEN: &str = "kazasu-test";
const CHILD: &str = "KAZASU_TEST_SOFTHSM";
const NEEDED: &str = "SoftHSM2 is installed (Debian: apt-get install softhsm2 opensc openssl)";

/// A folder with a token in it.
pub(crate) struct SoftHsm {
    folder: PathBuf,
}

/// Runs `body` in a process that has a fresh token; `test` is the test's own path below the test binary.
pub(crate) fn with_token(test: &str, body: impl FnOnce(&SoftHsm)) {
    if let Some(folder) = std::env::var_os(CHILD) {
        return body(&SoftHsm::found(folder.into()));
    }
    let hsm = SoftHsm::make(&test.replace("::", "-"));
    let output = hsm
        .command(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, &hsm.folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // A wrong name would run nothing, and nothing fails.
    assert!(output.status.success() && said.contains("1 passed"), "{test}:\n{said}");
    drop(std::fs::remove_dir_all(&hsm.folder));
}

impl SoftHsm {
    /// The folder that a parent process made.
    pub(crate) fn found(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// A new folder with one initialised token.
    pub(crate) fn make(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("kazasu-softhsm-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(folder.join("tokens")).unwrap();
        let tokens = folder.join("tokens");
        std::fs::write(
            folder.join("softhsm2.conf"),
            format!(
                "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
                tokens.display()
            ),
        )
        .unwrap();
        let hsm = Self { folder };
        hsm.write_pin(PIN);
        hsm.init_token(TOKEN);
        hsm
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// SoftHSM2's library, wherever the distribution put it.
    pub(crate) fn module() -> PathBuf {
        let places = [
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
            "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
            "/usr/lib64/pkcs11/libsofthsm2.so",
        ];
        places.into_iter().map(PathBuf::from).find(|path| path.is_file()).expect(NEEDED)
    }

    pub(crate) fn init_token(&self, label: &str) {
        self.run(
            "softhsm2-util",
            &["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "13579753"],
        );
    }

    pub(crate) fn pin_file(&self) -> PathBuf {
        self.folder.join("pin")
    }

    pub(crate) fn write_pin(&self, pin: &str) {
        std::fs::write(self.pin_file(), pin).unwrap();
        std::fs::set_permissions(self.pin_file(), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn token(&self) -> Pkcs11Token {
        Pkcs11Token {
            module: Self::module(),
            token: TOKEN.into(),
            pin_file: Some(self.pin_file()),
            pin_env: None,
        }
    }

    pub(crate) fn key(&self, label: &str) -> Pkcs11Key {
        let token = self.token();
        Pkcs11Key {
            module: token.module,
            token: token.token,
            label: label.into(),
            id: None,
            pin_file: token.pin_file,
            pin_env: None,
        }
    }

    /// A program that sees this token.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("SOFTHSM2_CONF", self.folder.join("softhsm2.conf"));
        command
    }

    /// Runs a program; whether it said yes, and all it said.
    pub(crate) fn ask(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        let output = self.command(program).args(arguments).output().expect(NEEDED);
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let (done, said) = self.ask(program, arguments);
        assert!(done, "{program} {arguments:?}: {said}");
        said
    }

    /// pkcs11-tool, logged in to the token.
    pub(crate) fn pkcs11_tool(&self, arguments: &[&str]) -> (bool, String) {
        let module = Self::module();
        let mut all =
            vec!["--module", module.to_str().unwrap(), "--token-label", TOKEN, "--login", "--pin", PIN];
        all.extend_from_slice(arguments);
        self.ask("pkcs11-tool", &all)
    }
}
