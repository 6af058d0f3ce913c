//! A daemon for unit tests: speaks one protocol version, holds one reader, and misbehaves on order.

use super::wire::{NAME_LEN, READER_STATE_LEN};
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What the fake daemon knows and was asked.
#[derive(Default)]
pub(super) struct World {
    /// Its minor version, and the oldest it accepts.
    pub(super) minor: i32,
    pub(super) minor_accepted: i32,
    pub(super) readers: Vec<(String, u32, u32, Vec<u8>)>,
    pub(super) protocol: u32,
    /// Answers for CONNECT, in order; none left means success.
    pub(super) connect_codes: Vec<u32>,
    /// Answers for TRANSMIT, in order; none left means an echo and `9000`.
    pub(super) responses: Vec<Result<Vec<u8>, u32>>,
    pub(super) commands: Vec<Vec<u8>>,
    pub(super) share_modes: Vec<u32>,
    pub(super) dispositions: Vec<u32>,
    pub(super) offers: Vec<i32>,
    pub(super) state_requests: Vec<u32>,
    /// From this command on, nothing is answered and the connection stays open.
    pub(super) silent_from: Option<u32>,
    /// From this command on, the connection is closed without an answer.
    pub(super) hang_up_from: Option<u32>,
    /// This command's answer is cut in half, and the connection closed.
    pub(super) cut: Option<u32>,
}

pub(super) const PRESENT: u32 = 0x0004;
pub(super) const ABSENT: u32 = 0x0002;
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A listening fake daemon. Its socket goes away with it; its threads end with their clients.
pub(super) struct FakeDaemon {
    pub(super) world: Arc<Mutex<World>>,
    folder: PathBuf,
}

impl FakeDaemon {
    pub(super) fn new(world: World) -> Self {
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let folder = std::env::temp_dir().join(format!("kazasu-fake-pcscd-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let daemon = Self { world: Arc::new(Mutex::new(world)), folder };
        let listener = UnixListener::bind(daemon.socket()).unwrap();
        let world = Arc::clone(&daemon.world);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let world = Arc::clone(&world);
                std::thread::spawn(move || while serve(&client, &world).is_ok() {});
            }
        });
        daemon
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("pcscd.comm")
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

fn words(body: &[u8]) -> Vec<u32> {
    body.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect()
}

fn octets(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn serve(mut client: &UnixStream, world: &Mutex<World>) -> io::Result<()> {
    let mut header = [0; 8];
    client.read_exact(&mut header)?;
    let (len, command) = (words(&header)[0] as usize, words(&header)[1]);
    let mut body = vec![0; len];
    client.read_exact(&mut body)?;
    let mut following = Vec::new();
    if command == 0x09 {
        following.resize(words(&body)[3] as usize, 0);
        client.read_exact(&mut following)?;
    }
    let mut world = world.lock().unwrap();
    if world.silent_from.is_some_and(|from| command == from) {
        drop(world);
        // Holds the connection open until the client gives up.
        return client.read_exact(&mut [0; 1]);
    }
    if world.hang_up_from.is_some_and(|from| command == from) {
        client.shutdown(std::net::Shutdown::Both)?;
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let answer = answer(&mut world, command, &body, following);
    if world.cut == Some(command) {
        client.write_all(&answer[..answer.len() / 2])?;
        client.shutdown(std::net::Shutdown::Both)?;
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    drop(world);
    client.write_all(&answer)
}

fn answer(world: &mut World, command: u32, body: &[u8], following: Vec<u8>) -> Vec<u8> {
    match command {
        0x11 => {
            let offered = words(body)[1].cast_signed();
            world.offers.push(offered);
            let accepted = (world.minor_accepted..=world.minor).contains(&offered);
            octets(&[4, world.minor.cast_unsigned(), if accepted { 0 } else { 0x8010_001E }])
        }
        0x12 | 0x17 => {
            world.state_requests.push(command);
            let mut list: Vec<u8> = world.readers.iter().flat_map(entry).collect();
            if command == 0x12 {
                list.resize(16 * READER_STATE_LEN, 0);
            }
            list
        }
        0x16 => octets(&[u32::try_from(world.readers.len()).unwrap()]),
        0x01 => octets(&[2, 77, 0]),
        0x02 => octets(&[77, 0]),
        0x04 => {
            let tail = words(&body[4 + NAME_LEN..]);
            world.share_modes.push(tail[0]);
            let code = if world.connect_codes.is_empty() { 0 } else { world.connect_codes.remove(0) };
            let mut answer = body[..4 + NAME_LEN + 8].to_vec();
            answer.extend(octets(&[99, world.protocol, code]));
            answer
        }
        0x06 => {
            world.dispositions.push(words(body)[1]);
            octets(&[99, words(body)[1], 0])
        }
        0x09 => {
            let planned = if world.responses.is_empty() { None } else { Some(world.responses.remove(0)) };
            let mut echo = following.clone();
            echo.extend([0x90, 0]);
            world.commands.push(following);
            let (response, code) = match planned.unwrap_or(Ok(echo)) {
                Ok(response) => (response, 0),
                Err(code) => (Vec::new(), code),
            };
            let mut answer = body[..24].to_vec();
            answer.extend(octets(&[u32::try_from(response.len()).unwrap(), code]));
            answer.extend(response);
            answer
        }
        _ => Vec::new(),
    }
}

fn entry((name, state, events, atr): &(String, u32, u32, Vec<u8>)) -> Vec<u8> {
    let mut entry = name.as_bytes().to_vec();
    entry.resize(NAME_LEN, 0);
    entry.extend(octets(&[*events, *state, 0]));
    let mut field = atr.clone();
    field.resize(36, 0);
    entry.extend(field);
    entry.extend(octets(&[u32::try_from(atr.len()).unwrap(), 0]));
    entry
}
