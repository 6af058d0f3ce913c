//! Reader entries of pcscd's configuration (`reader.conf(5)`): reading them, writing them for vpcd, and
//! what is wrong with some.

use super::{Exposure, exposure};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where distributions put the drivers of readers that are not on USB.
const DRIVER_FOLDERS: [&str; 5] = [
    "/usr/lib/pcsc/drivers/serial",
    "/usr/lib/x86_64-linux-gnu/pcsc/drivers/serial",
    "/usr/lib/aarch64-linux-gnu/pcsc/drivers/serial",
    "/usr/lib64/pcsc/drivers/serial",
    "/usr/local/lib/pcsc/drivers/serial",
];
/// The driver's file name.
pub const DRIVER_FILE: &str = "libifdvpcd.so";
/// Slots that every entry of vpcd makes, each on a port of its own.
pub const SLOTS_OF_ENTRY: u16 = 2;
/// The most entries of vpcd: pcsc-lite lists 16 slots.
pub const ENTRIES_MAX: u16 = 8;
/// Where pcscd looks unless it is told otherwise.
pub const SYSTEM_FOLDER: &str = "/etc/reader.conf.d";

/// The installed vpcd driver, if there is one.
pub fn find_driver() -> Option<PathBuf> {
    DRIVER_FOLDERS.iter().map(|folder| Path::new(folder).join(DRIVER_FILE)).find(|path| path.is_file())
}

/// One reader entry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReaderEntry {
    /// What the reader is called; pcscd puts its numbers of reader and slot behind it.
    pub friendly_name: String,
    /// What the driver is to open: for vpcd `/dev/null:PORT`.
    pub device_name: String,
    /// The driver.
    pub lib_path: PathBuf,
    /// The channel as pcscd counts it: for vpcd the port again.
    pub channel_id: String,
}

impl ReaderEntry {
    /// An entry of vpcd: waits for cards on `port` (first slot) and the port behind it (second slot).
    pub fn of_vpcd(friendly_name: &str, port: u16, driver: &Path) -> Self {
        Self {
            friendly_name: friendly_name.to_owned(),
            device_name: format!("/dev/null:{port}"),
            lib_path: driver.to_owned(),
            channel_id: port.to_string(),
        }
    }

    /// Whether the driver is vpcd, by its file name: copies are called like it, and then something.
    pub fn is_vpcd(&self) -> bool {
        let name = self.lib_path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libifdvpcd")
    }

    /// The port of the first slot of an entry of vpcd, written in decimal or, with 0x, in hexadecimal.
    pub fn port(&self) -> Option<u16> {
        let number = self.device_name.rsplit_once(':')?.1;
        match number.strip_prefix("0x").or_else(|| number.strip_prefix("0X")) {
            Some(digits) => u16::from_str_radix(digits, 16).ok(),
            None => number.parse().ok(),
        }
    }
}

impl fmt::Display for ReaderEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "FRIENDLYNAME \"{}\"", self.friendly_name)?;
        writeln!(f, "DEVICENAME   {}", self.device_name)?;
        writeln!(f, "LIBPATH      {}", self.lib_path.display())?;
        writeln!(f, "CHANNELID    {}", self.channel_id)
    }
}

/// The entries of one file, as pcscd reads it: `KEY value` by line, each entry from its FRIENDLYNAME on.
/// What is no such line is passed over.
pub fn entries(text: &str) -> Vec<ReaderEntry> {
    let mut found: Vec<ReaderEntry> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once(char::is_whitespace) else { continue };
        let value = value.trim().trim_matches('"');
        if key == "FRIENDLYNAME" {
            found.push(ReaderEntry { friendly_name: value.to_owned(), ..ReaderEntry::default() });
            continue;
        }
        let Some(entry) = found.last_mut() else { continue };
        match key {
            "DEVICENAME" => value.clone_into(&mut entry.device_name),
            "LIBPATH" => entry.lib_path = PathBuf::from(value),
            "CHANNELID" => value.clone_into(&mut entry.channel_id),
            _ => {}
        }
    }
    found
}

/// The entries of a file, or of every file in a folder, in the order of their names.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<ReaderEntry>> {
    if !path.is_dir() {
        return Ok(entries(&String::from_utf8_lossy(&fs::read(path)?)));
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.is_file());
    files.sort();
    let mut found = Vec::new();
    for file in files {
        found.extend(entries(&String::from_utf8_lossy(&fs::read(file)?)));
    }
    Ok(found)
}

/// Something about an entry of vpcd that does harm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Two entries load the same driver file, whose memory they then share: cards answer for each other,
    /// and the removal of one can leave pcscd stuck.
    SharedDriver {
        /// The second of the two.
        reader: String,
        /// The file.
        driver: PathBuf,
    },
    /// The driver is to connect to a card instead of waiting for one, which ends pcscd 1.9.9 with driver 3.3.
    ConnectsOut {
        /// The entry.
        reader: String,
    },
    /// Other machines can insert cards now: the driver listens on every address.
    Exposed {
        /// The entry.
        reader: String,
        /// The slot's port.
        port: u16,
    },
}

/// What is wrong with these entries of vpcd. Other drivers' entries are not judged.
pub fn findings(entries: &[ReaderEntry]) -> Vec<Finding> {
    let ours: Vec<&ReaderEntry> = entries.iter().filter(|entry| entry.is_vpcd()).collect();
    let mut found = Vec::new();
    for (place, entry) in ours.iter().enumerate() {
        let reader = || entry.friendly_name.clone();
        if ours.iter().take(place).any(|earlier| is_same_file(&earlier.lib_path, &entry.lib_path)) {
            found.push(Finding::SharedDriver { reader: reader(), driver: entry.lib_path.clone() });
        }
        if !entry.device_name.starts_with('/') {
            found.push(Finding::ConnectsOut { reader: reader() });
            continue;
        }
        let ports = entry
            .port()
            .into_iter()
            .flat_map(|port| (0..SLOTS_OF_ENTRY).map_while(move |slot| port.checked_add(slot)));
        for port in ports {
            if exposure(port).is_ok_and(|reach| reach == Exposure::Network) {
                found.push(Finding::Exposed { reader: reader(), port });
            }
        }
    }
    found
}

/// The same file, also through a symbolic link: the loader looks at the file behind it.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    one == other || real(one) == real(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn entries_are_written_as_they_are_read() {
        let entry = ReaderEntry::of_vpcd("Desk 1", 36_200, Path::new("/x/libifdvpcd-36200.so"));
        let text = format!("# remark\n\n{entry}\n{entry}");
        assert_eq!(entries(&text), [entry.clone(), entry.clone()]);
        assert_eq!((entry.port(), entry.is_vpcd()), (Some(36_200), true));
    }

    #[test]
    fn debians_own_entry_and_nonsense_are_read() {
        let debian = "FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME   /dev/null:0x8C7B\nLIBPATH      /usr/lib/pcsc/drivers/serial/libifdvpcd.so\nCHANNELID    0x8C7B\n";
        let [entry] = entries(debian).try_into().expect("one entry");
        assert_eq!(entry.friendly_name, "Virtual PCD");
        assert_eq!(entry.port(), Some(0x8C7B));
        for nonsense in ["", "FRIENDLYNAME", "LIBPATH /x", "x\ny z\n\0"] {
            assert!(entries(nonsense).is_empty(), "{nonsense:?}");
        }
        let other =
            "FRIENDLYNAME \"GemPC\"\nDEVICENAME /dev/ttyS0\nLIBPATH /usr/lib/libgempc.so\nCHANNELID 1\n";
        assert!(findings(&entries(&other.repeat(2))).is_empty(), "not ours to judge");
    }

    #[test]
    fn each_harm_is_found() {
        let at = |name: &str, port: u16, driver: &str| ReaderEntry::of_vpcd(name, port, Path::new(driver));
        // Taken and free again: nobody listens there.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let driver = "/nowhere/libifdvpcd.so";
        let shared = findings(&[at("one", free, driver), at("two", free, driver)]);
        assert_eq!(shared, [Finding::SharedDriver { reader: "two".to_owned(), driver: driver.into() }]);
        assert!(
            findings(&[at("one", free, "/x/libifdvpcd-1.so"), at("two", free, "/x/libifdvpcd-2.so")])
                .is_empty()
        );

        let mut out = at("out", free, driver);
        out.device_name = format!("localhost:{free}");
        assert_eq!(findings(&[out]), [Finding::ConnectsOut { reader: "out".to_owned() }]);

        let open = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = open.local_addr().unwrap().port();
        let found = findings(&[at("open", port, driver)]);
        assert_eq!(found, [Finding::Exposed { reader: "open".to_owned(), port }]);
    }

    #[test]
    fn a_driver_behind_a_link_is_the_same_driver() {
        let folder = std::env::temp_dir().join(format!("kazasu-reader-conf-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (real, link) = (folder.join("libifdvpcd.so"), folder.join("libifdvpcd-2.so"));
        fs::write(&real, b"driver").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = [("one", &real), ("two", &link)]
            .map(|(name, driver)| ReaderEntry::of_vpcd(name, free, driver).to_string());
        fs::create_dir_all(folder.join("conf")).unwrap();
        for (number, text) in text.iter().enumerate() {
            fs::write(folder.join(format!("conf/{number}")), text).unwrap();
        }
        let found = findings(&read(&folder.join("conf")).unwrap());
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, [Finding::SharedDriver { reader: "two".to_owned(), driver: link }]);
    }
}
