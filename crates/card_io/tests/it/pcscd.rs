//! A private pcscd with virtual readers, and foreign tools under a time limit.
//!
//! Needs nothing of this crate but a socket path, so that other crates' tests can take it as it is.
//! There is one pcscd socket per machine: a lock file puts the tests of all binaries in a row, and a
//! pcscd that somebody else started is named, not stopped.

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) const SOCKET: &str = "/run/pcscd/pcscd.comm";
/// Where distributions put the drivers of readers that are not on USB.
const DRIVERS: [&str; 3] = [
    "/usr/lib/pcsc/drivers/serial/libifdvpcd.so",
    "/usr/lib/x86_64-linux-gnu/pcsc/drivers/serial/libifdvpcd.so",
    "/usr/local/lib/pcsc/drivers/serial/libifdvpcd.so",
];
const LOCK_WAIT: Duration = Duration::from_secs(300);
const START_WAIT: Duration = Duration::from_secs(30);
const TOOL_SECONDS: &str = "60";

/// Looks every 20 ms until `probe` gives something; panics with `what` after `limit`.
pub(crate) fn eventually<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < until, "not within {} s: {what}", limit.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A folder that goes away with its owner.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("kazasu-foreign-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and gives its path as text.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), content).expect("a temporary file");
        self.text(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("temporary paths are text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// A running pcscd of our own. It ends with this value, and also when the test process is killed:
/// its shell waits for the end of a pipe that only this process holds open.
pub(crate) struct PcscdFixture {
    shell: Child,
    /// Ports of the readers' first slots: where cards connect. Each reader's second slot is one further.
    pub(crate) ports: Vec<u16>,
    pub(crate) folder: Folder,
    config: String,
    _lock: File,
}

impl PcscdFixture {
    /// Starts pcscd with one virtual reader; its first slot is called `{reader} 00 00`.
    pub(crate) fn start(reader: &str) -> Self {
        Self::start_readers(&[reader])
    }

    /// Starts pcscd with these virtual readers, each with a copy of the driver of its own: it keeps its
    /// connections in static memory.
    pub(crate) fn start_readers(readers: &[&str]) -> Self {
        let driver = DRIVERS.iter().map(Path::new).find(|path| path.exists()).unwrap_or_else(|| {
            panic!(
                "missing pcscd driver libifdvpcd.so: apt-get install vsmartcard-vpcd (looked at {DRIVERS:?})"
            )
        });
        Self::start_configured(|folder| {
            fs::create_dir_all(folder.path("readers")).expect("a temporary folder");
            let ports = free_port_pairs(readers.len());
            for (reader, port) in readers.iter().zip(&ports) {
                let copy = folder.path(&format!("libifdvpcd-{port}.so"));
                fs::copy(driver, &copy).expect("the driver can be copied");
                let entry = format!(
                    "FRIENDLYNAME \"{reader}\"\nDEVICENAME /dev/null:{port}\nLIBPATH {}\nCHANNELID {port}\n",
                    copy.display()
                );
                folder.file(&format!("readers/{port}"), entry);
            }
            (folder.text("readers"), ports)
        })
    }

    /// Starts pcscd with the configuration that `configure` makes: the path for `--config`, and the ports
    /// of the readers' first slots.
    pub(crate) fn start_configured(configure: impl FnOnce(&Folder) -> (String, Vec<u16>)) -> Self {
        let lock = lock_the_machine();
        refuse_a_foreign_daemon();
        let folder = Folder::new();
        let (config, ports) = configure(&folder);
        let shell = spawn(&folder, &config);
        let fixture = Self { shell, ports, folder, config, _lock: lock };
        fixture.await_readiness();
        fixture
    }

    /// Ready means: clients are accepted and the driver waits for a card.
    fn await_readiness(&self) {
        let until = Instant::now() + START_WAIT;
        while UnixStream::connect(SOCKET).is_err() || !self.ports.iter().copied().all(is_listened_on) {
            assert!(
                Instant::now() < until,
                "pcscd does not start (it needs root to write /run/pcscd):\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where a card server connects to, to put a card into the first reader.
    pub(crate) fn card_address(&self) -> String {
        self.card_address_of(0)
    }

    /// Where a card server connects to, to put a card into this reader, counted from 0.
    pub(crate) fn card_address_of(&self, reader: usize) -> String {
        let port = self.ports.get(reader).expect("there is such a reader");
        format!("127.0.0.1:{port}")
    }

    /// What pcscd has said so far.
    pub(crate) fn log(&self) -> String {
        let mut text = Vec::new();
        let _read = File::open(self.folder.path("pcscd.log")).and_then(|mut log| log.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Ends pcscd as an administrator would, and waits for it.
    pub(crate) fn stop(&mut self) {
        drop(self.shell.stdin.take());
        let _ended = self.shell.wait();
    }

    /// Starts pcscd again after [`Self::stop`], with the same readers.
    pub(crate) fn start_again(&mut self) {
        refuse_a_foreign_daemon();
        self.shell = spawn(&self.folder, &self.config);
        self.await_readiness();
    }
}

fn spawn(folder: &Folder, config: &str) -> Child {
    let log = File::options().create(true).append(true).open(folder.path("pcscd.log")).expect("a log file");
    let script = "timeout -k 5 900 \"$0\" --foreground --info --config \"$1\" & pid=$!\n\
                  cat > /dev/null\nkill -TERM $pid\nwait $pid";
    Command::new("sh")
        .args(["-c", script, &tool("pcscd", "pcscd"), config])
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("sh starts")
}

impl Drop for PcscdFixture {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- pcscd's log ---\n{}", self.log());
        }
    }
}

fn lock_the_machine() -> File {
    let path = std::env::temp_dir().join("kazasu-pcscd.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path).expect("a lock file");
    eventually("another test gives pcscd free", LOCK_WAIT, || match lock.try_lock() {
        Ok(()) => Some(()),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => panic!("{}: {error}", path.display()),
    });
    lock
}

fn refuse_a_foreign_daemon() {
    if UnixStream::connect(SOCKET).is_err() {
        return;
    }
    let running: Vec<String> = fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter(|entry| {
            fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name.trim() == "pcscd")
        })
        .map(|entry| {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            format!(
                "pid {}: {}",
                entry.file_name().display(),
                String::from_utf8_lossy(&command).replace('\0', " ")
            )
        })
        .collect();
    panic!("a pcscd that is not ours uses {SOCKET}; stop it (and pcscd.socket) for these tests: {running:?}");
}

/// First ports of `count` pairs: the driver listens on two ports in a row.
fn free_port_pairs(count: usize) -> Vec<u16> {
    let mut held = Vec::new();
    let mut ports = Vec::new();
    while ports.len() < count {
        let (port, pair) = eventually("two free ports in a row", START_WAIT, || {
            let first = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
            let port = first.local_addr().ok()?.port();
            let second = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port.checked_add(1)?)).ok()?;
            Some((port, [first, second]))
        });
        // Held until all are found, so that no two pairs meet.
        held.push(pair);
        ports.push(port);
    }
    ports
}

/// Looks for a listener without connecting: a connection would be an inserted card.
fn is_listened_on(port: u16) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_local = fields.next().is_some_and(|address| address.ends_with(&local));
        is_local && fields.nth(1) == Some("0A")
    })
}

/// The path of a program, or a panic that says which package has it.
pub(crate) fn tool(name: &str, package: &str) -> String {
    let search = std::env::var("PATH").unwrap_or_default();
    let folders = search.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    let found = folders.map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    let found = found.unwrap_or_else(|| panic!("missing program {name}: apt-get install {package}"));
    found.to_str().expect("program paths are text").to_owned()
}

/// Runs a program to its end, at most a minute.
pub(crate) fn run(name: &str, package: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let program = tool(name, package);
    let output = Command::new("timeout")
        .args(["-k", "5", TOOL_SECONDS, &program])
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("timeout starts");
    assert_ne!(output.status.code(), Some(124), "{name} {arguments:?} hung:\n{}", said(&output));
    output
}

/// Both outputs of a program, for messages and for searching.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
