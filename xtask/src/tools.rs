//! Foreign tools: look for each, install what is missing where we may, name the rest with package and reason.

use crate::process::{self, cargo, workspace_root};
use crate::steps::{Coverage, Step};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How to see that a tool is there.
enum Sign {
    /// One of these programs is on the path, or in an administrator's folder.
    Program(&'static [&'static str]),
    /// One of these files exists; `*` stands for one folder name.
    File(&'static [&'static str]),
    /// `cargo NAME --version` works.
    CargoCommand(&'static str),
    /// A Japanese font is known to fontconfig.
    JapaneseFont,
    /// All of these programs of a foreign package are in its folder under the target folder.
    Foreign(&'static ForeignPackage),
    /// python3 can make virtual environments.
    PythonVenv,
    /// A foreign Python package is in its own environment under the target folder.
    ForeignPython(&'static ForeignPython),
}

/// A package of crates.io whose programs are judges in tests. It is built in a folder of its own and is no
/// dependency of ours: its packages are not in our Cargo.lock.
struct ForeignPackage {
    name: &'static str,
    version: &'static str,
    /// Examples of the package, each a program.
    examples: &'static [&'static str],
}

impl ForeignPackage {
    /// Where its programs are: `foreign/NAME-VERSION` in cargo's target folder.
    fn root(&self) -> Result<PathBuf, String> {
        Ok(process::target_directory()?.join("foreign").join(format!("{}-{}", self.name, self.version)))
    }

    fn is_there(&self) -> bool {
        let Ok(root) = self.root() else { return false };
        self.examples.iter().all(|example| root.join("bin").join(example).is_file())
    }

    /// Arguments of `cargo install --locked`, without where to.
    fn arguments(&self) -> Vec<String> {
        let examples = self.examples.iter().flat_map(|example| ["--example", example]);
        std::iter::once(format!("{}@{}", self.name, self.version))
            .chain(examples.map(str::to_owned))
            .collect()
    }
}

/// A package of PyPI that is a judge in tests, in a virtual environment of its own.
struct ForeignPython {
    name: &'static str,
    version: &'static str,
    /// Every package with its version, from the workspace.
    requirements: &'static str,
}

impl ForeignPython {
    /// Where its environment is: `foreign/NAME-VERSION` in cargo's target folder.
    fn root(&self) -> Result<PathBuf, String> {
        Ok(process::target_directory()?.join("foreign").join(format!("{}-{}", self.name, self.version)))
    }

    fn requirements(&self) -> PathBuf {
        workspace_root().join(self.requirements)
    }

    /// The environment keeps a copy of what it was made from: other requirements make another one.
    fn is_there(&self) -> bool {
        let Ok(root) = self.root() else { return false };
        let (made, wanted) =
            (std::fs::read(root.join("requirements.txt")), std::fs::read(self.requirements()));
        matches!((made, wanted), (Ok(made), Ok(wanted)) if made == wanted)
    }

    fn install(&self) -> Result<(), String> {
        let (root, requirements) = (self.root()?, self.requirements());
        process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&root))?;
        let mut pip = Command::new(root.join("bin/python3"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "-r"]);
        process::run_within(pip.arg(&requirements), Duration::from_secs(600))?;
        let copied = std::fs::copy(&requirements, root.join("requirements.txt"));
        copied.map(drop).map_err(|error| format!("{}: {error}", root.display()))
    }
}

/// The linter of certificates, lists and responses (crates/jpki_authority/tests/it/foreign/pkilint.rs).
const PKILINT: ForeignPython = ForeignPython {
    name: "pkilint",
    version: "0.13.3",
    requirements: "crates/jpki_authority/tests/pkilint/requirements.txt",
};

/// The reading program for My Number Cards (crates/app/tests/it/foreign_myna_card.rs).
const MYNA_CARD: ForeignPackage = ForeignPackage {
    name: "myna-card",
    version: "3.3.4",
    examples: &["list_readers", "dump_certificates", "read_card"],
};

/// Where a tool comes from.
enum Source {
    /// A Debian package.
    Debian(&'static str),
    /// `cargo install --locked` with these arguments.
    CargoInstall(&'static [&'static str]),
    /// A component of the Rust toolchain.
    RustComponent(&'static str),
    /// `cargo install --locked` into a folder under the target folder.
    Foreign(&'static ForeignPackage),
    /// `pip install` into a virtual environment under the target folder.
    ForeignPython(&'static ForeignPython),
}

struct Tool {
    name: &'static str,
    sign: Sign,
    source: Source,
    why: &'static str,
    needed_by: Step,
    /// Not needed when the tests with foreign programs are left out.
    foreign: bool,
}

/// Every tool beyond cargo and a C compiler (without which this program could not have been linked).
const TOOLS: [Tool; 24] = [
    Tool {
        name: "rustfmt",
        sign: Sign::CargoCommand("fmt"),
        source: Source::RustComponent("rustfmt"),
        why: "checks formatting",
        needed_by: Step::Fmt,
        foreign: false,
    },
    Tool {
        name: "clippy",
        sign: Sign::CargoCommand("clippy"),
        source: Source::RustComponent("clippy"),
        why: "checks lints, among them those that keep the pure crates pure",
        needed_by: Step::Clippy,
        foreign: false,
    },
    Tool {
        name: "cargo-nextest",
        sign: Sign::CargoCommand("nextest"),
        source: Source::CargoInstall(&[
            "cargo-nextest@0.9.143",
            "--no-default-features",
            "--features",
            "default-no-update",
        ]),
        why: "runs the tests, ends those that hang, keeps those with foreign programs apart",
        needed_by: Step::Nextest,
        foreign: false,
    },
    Tool {
        name: "cargo-deny",
        sign: Sign::CargoCommand("deny"),
        source: Source::CargoInstall(&["cargo-deny@0.20.2"]),
        why: "checks banned crates, licences and sources",
        needed_by: Step::Deny,
        foreign: false,
    },
    Tool {
        name: "openssl",
        sign: Sign::Program(&["openssl"]),
        source: Source::Debian("openssl"),
        why: "second opinion on certificates, revocation lists and card signatures",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "ocsptool",
        sign: Sign::Program(&["ocsptool"]),
        source: Source::Debian("gnutls-bin"),
        why: "GnuTLS's opinion on our OCSP responses",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "ocspclnt",
        sign: Sign::Program(&["ocspclnt"]),
        source: Source::Debian("libnss3-tools"),
        why: "NSS's opinion on our OCSP responses; certutil of the same package makes its database",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "faketime",
        sign: Sign::Program(&["faketime"]),
        source: Source::Debian("faketime"),
        why: "shows OCSP clients that know no time but the present a response that is too old",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "Python's venv",
        sign: Sign::PythonVenv,
        source: Source::Debian("python3-venv"),
        why: "pkilint runs in an environment of its own",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "pkilint",
        sign: Sign::ForeignPython(&PKILINT),
        source: Source::ForeignPython(&PKILINT),
        why: "lints a thousand of our certificates, our lists and our responses",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "pcscd",
        sign: Sign::Program(&["pcscd"]),
        source: Source::Debian("pcscd"),
        why: "the PC/SC service that shows the emulated card to foreign programs",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "vpcd",
        sign: Sign::File(&[
            "/usr/lib/pcsc/drivers/serial/libifdvpcd.so",
            "/usr/lib64/pcsc/drivers/serial/libifdvpcd.so",
            "/usr/lib/*/pcsc/drivers/serial/libifdvpcd.so",
            "/usr/local/lib/pcsc/drivers/serial/libifdvpcd.so",
        ]),
        source: Source::Debian("vsmartcard-vpcd"),
        why: "the virtual reader between pcscd and the emulated card",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "OpenSC tools",
        sign: Sign::Program(&["opensc-tool"]),
        source: Source::Debian("opensc"),
        why: "unmodified foreign software must see a JPKI card",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "SoftHSM2",
        sign: Sign::Program(&["softhsm2-util"]),
        source: Source::Debian("softhsm2"),
        why: "a PKCS#11 token in software: the authority's keys live in it in the tests",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "pkcs15-tool",
        sign: Sign::Program(&["pkcs15-tool"]),
        source: Source::Debian("opensc"),
        why: "reads the certificates of the emulated card and tries its PIN",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "pkcs11-tool",
        sign: Sign::Program(&["pkcs11-tool"]),
        source: Source::Debian("opensc"),
        why: "signs with the emulated card",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "OpenSC PKCS#11 module",
        sign: Sign::File(&[
            "/usr/lib/*/opensc-pkcs11.so",
            "/usr/lib/opensc-pkcs11.so",
            "/usr/lib64/opensc-pkcs11.so",
            "/usr/local/lib/opensc-pkcs11.so",
        ]),
        source: Source::Debian("opensc-pkcs11"),
        why: "the module pkcs11-tool loads",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "OpenPACE tools",
        sign: Sign::Program(&["cvc-print"]),
        source: Source::Debian("openpace"),
        why: "second opinion on the card-verifiable certificates of profile eac",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "pkg-config",
        sign: Sign::Program(&["pkg-config", "pkgconf"]),
        source: Source::Debian("pkg-config"),
        why: "finds libpcsclite for the foreign reading program",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "libpcsclite's headers",
        sign: Sign::File(&[
            "/usr/include/PCSC/winscard.h",
            "/usr/include/*/PCSC/winscard.h",
            "/usr/local/include/PCSC/winscard.h",
        ]),
        source: Source::Debian("libpcsclite-dev"),
        why: "the foreign reading program is linked with it; nothing of ours is",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "myna-card's programs",
        sign: Sign::Foreign(&MYNA_CARD),
        source: Source::Foreign(&MYNA_CARD),
        why: "a foreign program that reads My Number Cards judges the emulated one",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "Chromium",
        sign: Sign::Program(&["chromium", "chromium-browser", "google-chrome"]),
        source: Source::Debian("chromium"),
        why: "the kiosk page is tested in a real browser",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "chromedriver",
        sign: Sign::Program(&["chromedriver"]),
        source: Source::Debian("chromium-driver"),
        why: "presses the buttons of the kiosk page",
        needed_by: Step::Nextest,
        foreign: true,
    },
    Tool {
        name: "a Japanese font",
        sign: Sign::JapaneseFont,
        source: Source::Debian("fonts-noto-cjk"),
        why: "without it the kiosk page has boxes in place of words, and its sizes mean nothing",
        needed_by: Step::Nextest,
        foreign: true,
    },
];

impl Tool {
    fn is_there(&self) -> bool {
        match &self.sign {
            Sign::Program(names) => names.iter().any(|name| find_program(name).is_some()),
            Sign::File(patterns) => patterns.iter().any(|pattern| matches_a_file(pattern)),
            Sign::CargoCommand(name) => process::capture(&mut cargo(&[name, "--version"])).is_some(),
            Sign::JapaneseFont => process::capture(Command::new("fc-list").args([":lang=ja", "family"]))
                .is_some_and(|families| !families.trim().is_empty()),
            Sign::Foreign(package) => package.is_there(),
            Sign::PythonVenv => {
                process::capture(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_some()
            }
            Sign::ForeignPython(package) => package.is_there(),
        }
    }

    fn is_needed(&self, steps: &[Step], coverage: Coverage) -> bool {
        // `--only tools` asks for everything.
        let wanted = steps == [Step::Tools] || steps.contains(&self.needed_by);
        wanted && !(self.foreign && coverage == Coverage::Fast)
    }

    /// What a person types to get it.
    fn command(&self) -> String {
        match &self.source {
            Source::Debian(package) => format!("apt-get install {package}"),
            Source::CargoInstall(arguments) => format!("cargo install --locked {}", arguments.join(" ")),
            Source::RustComponent(name) => format!("rustup component add {name}"),
            Source::Foreign(package) => {
                let root = package.root().unwrap_or_else(|_| PathBuf::from("target/foreign"));
                format!("cargo install --locked {} --root {}", package.arguments().join(" "), root.display())
            }
            Source::ForeignPython(package) => {
                let root = package.root().unwrap_or_else(|_| PathBuf::from("target/foreign"));
                let root = root.display();
                let requirements = package.requirements;
                format!("python3 -m venv {root} && {root}/bin/pip install --no-deps -r {requirements}")
            }
        }
    }
}

/// The folders of `PATH`, and those of administrators, which a user's path on Debian leaves out.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Whether a file of this pattern exists; at most one `*`, standing for one folder name.
fn matches_a_file(pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once("*/") else { return Path::new(pattern).is_file() };
    let Ok(folders) = std::fs::read_dir(before) else { return false };
    folders.flatten().any(|folder| folder.path().join(after).is_file())
}

/// Looks for the tools that `steps` need, installs what is missing, and says what is still missing.
pub(crate) fn ensure(steps: &[Step], coverage: Coverage) -> Result<String, String> {
    let needed: Vec<&Tool> = TOOLS.iter().filter(|tool| tool.is_needed(steps, coverage)).collect();
    let missing = missing_of(&needed);
    if missing.is_empty() {
        return Ok(format!("{} tools found", needed.len()));
    }
    for tool in &missing {
        eprintln!("missing: {} ({})", tool.name, tool.why);
    }
    let attempts = install(&missing);
    let still = missing_of(&missing);
    if still.is_empty() {
        return Ok(format!("{} tools found, {} of them installed now", needed.len(), missing.len()));
    }
    Err(complaint(&still, &attempts))
}

fn missing_of<'a>(tools: &[&'a Tool]) -> Vec<&'a Tool> {
    tools.iter().copied().filter(|tool| !tool.is_there()).collect()
}

/// Names every tool that could not be had, why it is needed and how to get it.
fn complaint(still: &[&Tool], attempts: &[String]) -> String {
    let mut text = String::from("tools are missing:");
    for tool in still {
        let _ = write!(text, "\n  {}: {}. Get it with `{}`", tool.name, tool.why, tool.command());
    }
    for attempt in attempts {
        let _ = write!(text, "\n  tried: {attempt}");
    }
    text
}

/// Tries to install; returns what went wrong, one line per attempt. Packages come first: what is built from
/// source needs some of them.
fn install(missing: &[&Tool]) -> Vec<String> {
    let mut packages: Vec<&str> = missing
        .iter()
        .filter_map(|tool| if let Source::Debian(package) = tool.source { Some(package) } else { None })
        .collect();
    packages.sort_unstable();
    packages.dedup();
    let mut problems = Vec::new();
    if !packages.is_empty() {
        problems.extend(install_packages(&packages).err());
    }
    for tool in missing {
        problems.extend(install_from_source(tool).err());
    }
    problems
}

/// What is no package of the system.
fn install_from_source(tool: &Tool) -> Result<(), String> {
    let mut command = match &tool.source {
        Source::Debian(_) => return Ok(()),
        Source::ForeignPython(package) => return package.install(),
        Source::RustComponent(name) => {
            let mut command = Command::new("rustup");
            command.args(["component", "add", name]).current_dir(workspace_root());
            return process::run(&mut command);
        }
        Source::CargoInstall(arguments) => {
            let mut command = cargo(&["install", "--locked"]);
            command.args(*arguments);
            command
        }
        Source::Foreign(package) => {
            let mut command = cargo(&["install", "--locked"]);
            command.args(package.arguments()).arg("--root").arg(package.root()?);
            command
        }
    };
    eprintln!("installing {} from source: this takes minutes, and only the first time", tool.name);
    // In a folder of its own, which cargo removes again.
    process::run(command.current_dir(std::env::temp_dir()).env_remove("CARGO_TARGET_DIR"))
}

fn install_packages(packages: &[&str]) -> Result<(), String> {
    let all = packages.join(" ");
    if find_program("apt-get").is_none() {
        return Err(format!("this is neither Debian nor Ubuntu; look for your system's names of: {all}"));
    }
    let user = process::capture(Command::new("id").arg("-u")).unwrap_or_default();
    if user.trim() != "0" {
        return Err(format!("not root, so please: sudo apt-get install -y --no-install-recommends {all}"));
    }
    // Both have ends: a mirror that does not answer must not hold the whole run.
    process::run_within(apt(&["update"]).arg("--quiet"), Duration::from_secs(300))?;
    let mut command = apt(&["install", "-y", "--no-install-recommends", "--quiet"]);
    process::run_within(command.args(packages), Duration::from_secs(1200))
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Tool = Tool {
        name: "nowhere",
        sign: Sign::Program(&["kazasu-no-such-program"]),
        source: Source::Debian("no-such-package"),
        why: "shows that a missing tool is seen",
        needed_by: Step::Nextest,
        foreign: true,
    };

    #[test]
    fn a_missing_tool_is_named_with_package_and_reason() {
        assert!(!NOWHERE.is_there());
        let text = complaint(&[&NOWHERE], &["no network".to_owned()]);
        for part in ["nowhere", "shows that", "apt-get install no-such-package", "tried: no network"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn steps_ask_only_for_their_own_tools() {
        let names = |steps: &[Step], coverage| -> Vec<&str> {
            TOOLS.iter().filter(|tool| tool.is_needed(steps, coverage)).map(|tool| tool.name).collect()
        };
        assert_eq!(names(&[Step::Tools, Step::Deny], Coverage::Whole), ["cargo-deny"]);
        assert_eq!(names(&Step::FAST, Coverage::Fast), ["rustfmt", "clippy", "cargo-nextest"]);
        assert_eq!(names(&[Step::Tools], Coverage::Whole).len(), TOOLS.len());
        assert_eq!(names(&Step::ALL, Coverage::Whole).len(), TOOLS.len());
    }

    #[test]
    fn programs_and_files_are_found() {
        assert!(find_program("sh").is_some());
        assert!(matches_a_file(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")));
        assert!(matches_a_file(concat!(env!("CARGO_MANIFEST_DIR"), "/*/main.rs")));
        assert!(!matches_a_file(concat!(env!("CARGO_MANIFEST_DIR"), "/*/no-such-file.rs")));
    }

    #[test]
    fn nothing_comes_without_a_version() {
        for tool in &TOOLS {
            if let Source::CargoInstall(arguments) = &tool.source {
                let package = arguments.first().copied().unwrap_or("");
                assert!(package.contains('@'), "{}: pin the version", tool.name);
            }
        }
    }

    #[test]
    fn a_foreign_package_is_pinned_and_lives_beside_our_build() {
        assert_eq!(
            MYNA_CARD.arguments().join(" "),
            "myna-card@3.3.4 --example list_readers --example dump_certificates --example read_card"
        );
        let root = MYNA_CARD.root().unwrap();
        assert!(root.ends_with("foreign/myna-card-3.3.4"), "{}", root.display());
        let tests = include_str!("../../crates/app/tests/it/foreign_myna_card.rs");
        assert!(tests.contains(&format!("\"{}\"", MYNA_CARD.version)), "the test looks for another version");
    }

    #[test]
    fn the_foreign_linter_is_pinned_with_all_it_needs() {
        let requirements = std::fs::read_to_string(PKILINT.requirements()).unwrap();
        let packages: Vec<&str> = requirements.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(packages.iter().all(|line| line.split_once("==").is_some()), "{packages:?}");
        assert!(packages.contains(&format!("{}=={}", PKILINT.name, PKILINT.version).as_str()));
        let tests = include_str!("../../crates/jpki_authority/tests/it/foreign/pkilint.rs");
        assert!(tests.contains(&format!("\"{}\"", PKILINT.version)), "the test looks for another version");
    }
}
